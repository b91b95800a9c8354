"""Random distortions of digits, different in every mini-batch.

Affine and elastic ones after Simard, Steinkraus, Platt, "Best practices for convolutional neural networks applied to
visual document analysis", 2003; thickness, contrast and noise as pens, screens and cameras vary.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, pad

from service.bundle.manifest import IMAGE_SHAPE
from training.recipes.gradient_descent import Distortion

(IMAGE_SIDE, _) = IMAGE_SHAPE
HALF_SIDE = IMAGE_SIDE / 2  # pixels for a distance of 1 in the coordinates of grid_sample, which go from -1 to 1
CONTROL_POINTS = 6  # a side, of the elastic displacement, which is interpolated between them
EXTENT_THRESHOLD = 30  # of 255: what belongs to the extent of the ink


def _basis() -> Tensor:
    """FP32 [3 + 36, 784], for each pixel: x, y, 1, and the weight of each control point of the elastic displacement."""
    centres = (torch.arange(IMAGE_SIDE) * 2 + 1) / IMAGE_SIDE - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    points = torch.eye(CONTROL_POINTS * CONTROL_POINTS).view(-1, 1, CONTROL_POINTS, CONTROL_POINTS)
    weights = interpolate(points, (IMAGE_SIDE, IMAGE_SIDE), mode="bicubic", align_corners=True)
    return torch.cat([torch.stack([x, y, torch.ones_like(y)]).flatten(1), weights.flatten(1)])


BASIS = _basis()  # the coordinates that pixels are sampled from are linear combinations of its rows


class Distorter:
    """Distorts batches of images with random numbers of its own: the same seed gives the same distortions."""

    def __init__(self, distortion: Distortion, seed: int) -> None:
        self._limits = distortion
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: Tensor) -> Tensor:
        """UINT8 [n, 28, 28], or [n, 1 + copies, 28, 28] with artifacts -> UINT8 [n, 28, 28].

        Each image is distorted independently.
        """
        images = self._select_version(images) if images.dim() == 4 else images
        ink = images.unsqueeze(1).to(torch.float32) / 255
        ink = grid_sample(ink, self._sampling_grid(ink_extents(images).cpu()).to(ink.device), align_corners=False)
        ink = self._change_contrast(self._change_thickness(ink))
        return (ink.squeeze(1) * 255).round_().to(torch.uint8)

    def _select_version(self, versions: Tensor) -> Tensor:
        """Of a fraction of the images one of the copies with artifacts, of the others the original."""
        fraction, copies = self._limits.artifact_fraction, versions.shape[1] - 1
        drawn = self._uniform(len(versions), 0, 1)  # below the fraction it says which copy, too
        chosen = torch.where(drawn < fraction, 1 + (drawn / max(fraction, 1e-9) * copies).floor(), 0).to(torch.int64)
        return versions[torch.arange(len(versions)), chosen.clamp(max=copies).to(versions.device)]

    def _sampling_grid(self, extents: Tensor) -> Tensor:
        """Coordinates that each pixel is sampled from, FP32 [n, 28, 28, 2], -1 to 1; `extents` as of `ink_extents`."""
        limits, n = self._limits, len(extents)
        angle = self._uniform(n, -limits.rotation, limits.rotation) * (math.pi / 180)
        shear = self._uniform(n, -limits.shear, limits.shear)
        aspect = self._uniform(n, -limits.aspect, limits.aspect).exp()
        stretched = extents * torch.stack([aspect, 1 / aspect], dim=1)
        scale = self._uniform(n, -limits.scale, limits.scale).exp() * stretched.amax(dim=1) / extents.amax(dim=1)
        # The inverse map, from a pixel of the output to the point of the source that it shows, is, in this order,
        # shear, rotation, scale and shift:
        #   [x]   [scale_x    0   ]   [cos  -sin]   [1  shear]   [x of the pixel]   [shift_x]
        #   [y] = [   0    scale_y] * [sin   cos] * [0    1  ] * [y of the pixel] + [shift_y]
        scale_x, scale_y = scale / aspect, scale * aspect
        cosine, sine = angle.cos(), angle.sin()
        shift = self._uniform(2 * n, -limits.shift, limits.shift).view(n, 2) / HALF_SIDE
        x = torch.stack([scale_x * cosine, scale_x * (shear * cosine - sine), shift[:, 0]], dim=1)
        y = torch.stack([scale_y * sine, scale_y * (shear * sine + cosine), shift[:, 1]], dim=1)
        control_points = torch.randn(n, 2, CONTROL_POINTS * CONTROL_POINTS, generator=self._generator)
        coefficients = torch.cat([torch.stack([x, y], dim=1), control_points * (limits.elastic / HALF_SIDE)], dim=2)
        return (coefficients @ BASIS).view(n, 2, IMAGE_SIDE, IMAGE_SIDE).permute(0, 2, 3, 1)

    def _change_thickness(self, ink: Tensor) -> Tensor:
        """Part of the way to the maximum of a 3x3 neighbourhood, or to its minimum: FP32 [n, 1, 28, 28], 0 to 1."""
        amount = self._uniform(len(ink), -self._limits.thickness, self._limits.thickness).to(ink.device)
        amount = amount.view(-1, 1, 1, 1)
        thick, thin = _extremum_3x3(ink, torch.maximum), _extremum_3x3(ink, torch.minimum)
        return ink + amount.clamp(min=0) * (thick - ink) + amount.clamp(max=0) * (ink - thin)

    def _change_contrast(self, ink: Tensor) -> Tensor:
        """Stretch to full ink, apply a random exponent, and add noise where there is ink: FP32 [n, 1, 28, 28]."""
        limits = self._limits
        exponent = self._uniform(len(ink), -limits.contrast, limits.contrast).exp().view(-1, 1, 1, 1).to(ink.device)
        maximum = ink.amax(dim=(2, 3), keepdim=True).clamp(min=0.1)
        noise = torch.randn(ink.shape, generator=self._generator).to(ink.device)
        noise *= self._uniform(len(ink), 0, limits.noise).view(-1, 1, 1, 1).to(ink.device)
        return ((ink / maximum).clamp(0, 1).pow(exponent) + noise * (ink > 0)).clamp(0, 1)

    def _uniform(self, n: int, low: float, high: float) -> Tensor:
        return torch.rand(n, generator=self._generator) * (high - low) + low


def _extremum_3x3(ink: Tensor, extremum: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Maximum or minimum of the 3x3 neighbourhood of each pixel, FP32 [n, 1, 28, 28], padded with paper (0)."""
    ink = pad(ink, (1, 1, 1, 1))
    ink = extremum(extremum(ink[..., :-2], ink[..., 1:-1]), ink[..., 2:])
    return extremum(extremum(ink[..., :-2, :], ink[..., 1:-1, :]), ink[..., 2:, :])


def ink_extents(images: Tensor) -> Tensor:
    """Numbers of columns and of rows that contain ink, FP32 [n, 2], at least 1, of images UINT8 [n, 28, 28]."""
    ink = images > EXTENT_THRESHOLD
    return torch.stack([ink.any(dim=axis).sum(dim=1) for axis in (1, 2)], dim=1).clamp(min=1).to(torch.float32)
