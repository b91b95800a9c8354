"""Digits placed in a frame: box, rotation, shear, elastic distortion and pen, rendered from distance fields."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from training.segmenter.distance_fields import FIELD_SIDE, UNIT, DistanceFields
from training.segmenter.draws import Draws, per_item

SMALL = 14  # pixels: smaller digits are drawn with no thinner pen than 0.8 pixels
THINNEST = 0.35  # pixels
NARROW = 0.3  # width to height: narrower digits are not stretched, as they would be filled squares

Shape = tuple[int, int]  # height and width of a frame, in pixels


@dataclass(frozen=True)
class Rendered:
    """Ink FP32 [n, height, width], 0 to 1: how much of each pixel it covers; and the boxes that the digits fill.

    `boxes` are FP32 [n, 4]: left, top, right and bottom, in pixels.
    """

    ink: Tensor
    boxes: Tensor


def pixel_centres(shape: Shape) -> tuple[Tensor, Tensor]:
    """X and y of each pixel's centre, FP32 [height, width]."""
    y, x = torch.meshgrid(torch.arange(shape[0]) + 0.5, torch.arange(shape[1]) + 0.5, indexing="ij")
    return x, y


def render(
    digits: DistanceFields, boxes: Tensor, stretch: Tensor, shape: Shape, draws: Draws, chosen: Tensor | None = None
) -> Rendered:
    """Digits, random ones or those `chosen` [n], each in its box FP32 [n, 4]: left, top, right and bottom in pixels.

    A digit keeps its proportions, in the middle of its box, unless `stretch` [n] is true.
    """
    if chosen is None:
        chosen = torch.randint(len(digits), (draws.count,), generator=draws.generator)
    fields = digits.fields[chosen].float() * UNIT
    hulls = digits.hulls[chosen]
    middle = (hulls.amin(1) + hulls.amax(1)) / 2
    matrix = _turned(draws)
    outline = (hulls - middle[:, None]) @ matrix.mT
    low, high = outline.amin(1), outline.amax(1)
    stretch = stretch & ((high - low).amin(1) > NARROW * (high - low).amax(1))
    room = (boxes[:, 2:] - boxes[:, :2]).clamp(min=2)
    scale = _fit(room, high - low, stretch)
    size = ((high - low) * scale).amax(1)
    own_width = 2 * digits.half_widths[chosen] * scale.prod(1).sqrt()
    drawn = draws.chance(0.5)  # by a pen of its own, along the skeleton
    pens = torch.where(drawn, size * draws.log_uniform(0.013, 0.2), own_width + size * draws.uniform(-0.03, 0.05))
    pens = torch.maximum(pens, torch.where(size < SMALL, 0.8, THINNEST))
    room = torch.maximum(room - (pens - own_width)[:, None], 0.4 * room)  # a thicker pen reaches further
    scale = _fit(room, high - low, stretch)
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2 - (high + low) / 2 * scale
    sampled = _sample(fields, torch.linalg.inv(scale[:, :, None] * matrix), centre, middle, shape, draws)
    mean_scale = per_item(scale.prod(1).sqrt())
    inside = sampled[:, 0] * mean_scale + per_item((pens - own_width) / 2)
    near = per_item(pens / 2) - sampled[:, 1] * mean_scale
    ink = (0.5 + torch.where(per_item(drawn), near, inside)).clamp(0, 1) * per_item(pens.clamp(max=1))
    margin = ((pens - own_width) / 2)[:, None]
    return Rendered(ink, torch.cat([centre + low * scale - margin, centre + high * scale + margin], dim=1))


def _fit(room: Tensor, size: Tensor, stretch: Tensor) -> Tensor:
    """By how much x and y are scaled, FP32 [n, 2], so that the size [n, 2] fits into the room [n, 2]."""
    scale = room / size
    return torch.where(stretch[:, None], scale, scale.amin(1, keepdim=True))


def _turned(draws: Draws) -> Tensor:
    """Rotation, shear and aspect: FP32 [n, 2, 2], of x and y."""
    angle = draws.normal() * 0.12
    shear, aspect = draws.normal() * 0.15, draws.normal() * 0.12
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    skew = torch.stack([aspect.exp(), shear, torch.zeros_like(shear), torch.ones_like(shear)], dim=1).view(-1, 2, 2)
    return rotation @ skew


def _sample(fields: Tensor, inverse: Tensor, centre: Tensor, middle: Tensor, shape: Shape, draws: Draws) -> Tensor:
    """The two distances at each pixel of the frame: FP32 [n, 2, height, width], in MNIST's pixels."""
    x, y = pixel_centres(shape)
    places = torch.stack([x, y], dim=2).view(1, -1, 2) - centre[:, None]
    places = (places @ inverse.mT + middle[:, None]).view(draws.count, *shape, 2)
    bend = draws.smooth_noise(shape, 4, 2) * draws.uniform(0, 0.8, 1, 1, 1)
    places = places + bend.permute(0, 2, 3, 1)
    return grid_sample(fields, places * (2 / FIELD_SIDE) - 1, padding_mode="border", align_corners=False)
