"""Distortions: each mini-batch of digits is seen as somebody else might have written it.

Affine and elastic ones after Simard, Steinkraus, Platt, "Best practices for convolutional neural networks applied to
visual document analysis", 2003; strokes thicker or thinner and ink paler or harder as pens and screens make them.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, pad

from training.recipes.recipe import Distortion

SIDE = 28
KNOTS = 6  # of the elastic field, a side: each moves freely, what lies between follows smoothly


def _fields() -> Tensor:
    """Across, down, everywhere 1, and how far each knot moves each pixel: [3 + 36, 784]."""
    middles = (torch.arange(SIDE) * 2 + 1) / SIDE - 1
    down, across = torch.meshgrid(middles, middles, indexing="ij")
    knots = torch.eye(KNOTS * KNOTS).view(-1, 1, KNOTS, KNOTS)
    moved = interpolate(knots, (SIDE, SIDE), mode="bicubic", align_corners=True)
    return torch.cat([torch.stack([across, down, torch.ones_like(down)]).flatten(1), moved.flatten(1)])


FIELDS = _fields()  # every distortion of the plane is a sum of these


class Distorter:
    """Draws its own random numbers from the seed, so that the same seed sees the same pictures."""

    def __init__(self, distortion: Distortion, seed: int) -> None:
        self._distortion = distortion
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: Tensor) -> Tensor:
        """UINT8 [n, 28, 28] or, with residue, [n, 2, 28, 28] -> UINT8 [n, 28, 28], each distorted in its own way."""
        images = self._chosen(images) if images.dim() == 4 else images
        ink = images.unsqueeze(1).to(torch.float32) / 255
        ink = grid_sample(ink, self._places(extents(images).cpu()).to(ink.device), align_corners=False)
        ink = self._inked(self._stroked(ink))
        return (ink.squeeze(1) * 255).round_().to(torch.uint8)

    def _chosen(self, versions: Tensor) -> Tensor:
        residue = self._between(len(versions), 0, 1) < self._distortion.residue
        return versions[torch.arange(len(versions)), residue.to(torch.int64).to(versions.device)]

    def _places(self, extent: Tensor) -> Tensor:
        """Where each pixel of each distorted image is taken from: [n, 28, 28, 2], -1 to 1."""
        how, n = self._distortion, len(extent)
        angle = self._between(n, -how.rotation, how.rotation) * (math.pi / 180)
        shear = self._between(n, -how.shear, how.shear)
        aspect = self._between(n, -how.aspect, how.aspect).exp()
        stretched = extent * torch.stack([aspect, 1 / aspect], dim=1)
        size = self._between(n, -how.scale, how.scale).exp() * stretched.amax(dim=1) / extent.amax(dim=1)
        wide, high = size / aspect, size * aspect
        cosine, sine = angle.cos(), angle.sin()
        shift = self._between(2 * n, -how.shift, how.shift).view(n, 2) / 14
        across = torch.stack([wide * cosine, wide * (shear * cosine - sine), shift[:, 0]], dim=1)
        down = torch.stack([high * sine, high * (shear * sine + cosine), shift[:, 1]], dim=1)
        knots = torch.randn(n, 2, KNOTS * KNOTS, generator=self._generator) * (how.elastic / 14)
        shares = torch.cat([torch.stack([across, down], dim=1), knots], dim=2)
        return (shares @ FIELDS).view(n, 2, SIDE, SIDE).permute(0, 2, 3, 1)

    def _stroked(self, ink: Tensor) -> Tensor:
        """Thicker or thinner: on the way to what a 3x3 neighbourhood has most, or least, of."""
        amount = self._between(len(ink), -self._distortion.thickness, self._distortion.thickness).to(ink.device)
        amount = amount.view(-1, 1, 1, 1)
        thick, thin = _neighbourhood(ink, torch.maximum), _neighbourhood(ink, torch.minimum)
        return ink + amount.clamp(min=0) * (thick - ink) + amount.clamp(max=0) * (ink - thin)

    def _inked(self, ink: Tensor) -> Tensor:
        """Stretched to full ink, paler or harder by a power, and grain wherever there is ink."""
        how = self._distortion
        power = self._between(len(ink), -how.contrast, how.contrast).exp().view(-1, 1, 1, 1).to(ink.device)
        most = ink.amax(dim=(2, 3), keepdim=True).clamp(min=0.1)
        grain = torch.randn(ink.shape, generator=self._generator).to(ink.device)
        grain *= self._between(len(ink), 0, how.noise).view(-1, 1, 1, 1).to(ink.device)
        return ((ink / most).clamp(0, 1).pow(power) + grain * (ink > 0)).clamp(0, 1)

    def _between(self, n: int, low: float, high: float) -> Tensor:
        return torch.rand(n, generator=self._generator) * (high - low) + low


def _neighbourhood(ink: Tensor, most: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The most, or the least, within a pixel of each: of [n, 1, 28, 28]; beyond the edges is paper."""
    ink = pad(ink, (1, 1, 1, 1))
    ink = most(most(ink[..., :-2], ink[..., 1:-1]), ink[..., 2:])
    return most(most(ink[..., :-2, :], ink[..., 1:-1, :]), ink[..., 2:, :])


def extents(images: Tensor) -> Tensor:
    """How many columns and how many rows of each image hold ink: [n, 2]."""
    ink = images > 30
    return torch.stack([ink.any(dim=axis).sum(dim=1) for axis in (1, 2)], dim=1).clamp(min=1).to(torch.float32)
