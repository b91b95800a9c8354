"""What is dark in a picture and is not the digit: lines, frames, the table beside the paper, specks, neighbours.

Each function returns darkness FP32 [n, height, width], 0 to 1, of the darkness of the ink.
"""

import torch
from torch import Tensor

from training.segmenter.distance_fields import DistanceFields
from training.segmenter.draws import Draws, per_item
from training.segmenter.rendering import Shape, pixel_centres, render


def stripe(distance: Tensor, width: Tensor) -> Tensor:
    """How much of each pixel is covered by a line of this width [n], by the distance from its middle [n, h, w]."""
    return (0.5 + per_item(width) / 2 - distance).clamp(0, 1) * per_item(width.clamp(max=1))


def ruled_lines(boxes: Tensor, shape: Shape, draws: Draws) -> Tensor:
    """Ruled or squared paper, or one line, most often at or below the foot of the digit in its box [n, 4]."""
    x, y = pixel_centres(shape)
    tilt = torch.where(draws.chance(0.25), 0.2, 0.06)  # radians: paper that was held as it came to hand, or straight
    angle = draws.normal() * tilt + torch.where(draws.chance(0.08), torch.pi / 2, 0.0)
    _, top, _, bottom = boxes.T
    height = (bottom - top).clamp(min=8)
    foot = bottom + height * (draws.normal() * 0.06 + draws.uniform(0, 0.3) * draws.chance(0.5))
    offset = torch.where(draws.chance(0.65), foot, draws.uniform(-0.1, 1.1) * shape[0])
    spacing = (height * draws.log_uniform(0.35, 2)).clamp(min=5)
    middle = shape[1] / 2
    across = per_item(angle.cos()) * y - per_item(angle.sin()) * (x - middle) - per_item(offset)
    along = per_item(angle.sin()) * y + per_item(angle.cos()) * (x - middle)
    width = draws.log_uniform(0.4, 4)
    repeated = stripe(_to_nearest(across, spacing), width)
    squared = torch.maximum(repeated, stripe(_to_nearest(along, spacing), width))
    kind = draws.uniform(0, 1)
    lines = torch.where(per_item(kind < 0.5), stripe(across.abs(), width), repeated)
    return torch.where(per_item(kind > 0.75), squared, lines) * per_item(draws.log_uniform(0.15, 1.3))


def _to_nearest(position: Tensor, spacing: Tensor) -> Tensor:
    """The distance to the nearest multiple of the spacing [n]."""
    step = per_item(spacing)
    return (position - (position / step).round() * step).abs()


def frames(shape: Shape, draws: Draws) -> Tensor:
    """Lines along some of the four sides: a frame, the edge of a grid's cell, the dark margin of a scan."""
    x, y = pixel_centres(shape)
    height, width = shape
    found = torch.zeros(draws.count, *shape)
    strength, thickness = draws.log_uniform(0.2, 1.3), draws.log_uniform(0.6, 5)
    solid, all_sides = draws.chance(0.25), draws.chance(0.3)
    for position, across, length in ((x, y, width), (width - x, y, width), (y, x, height), (height - y, x, height)):
        offset = draws.uniform(-0.5, 0.1 * length) * draws.chance(0.6)
        slope = draws.normal() * 0.02
        distance = position - per_item(offset) - per_item(slope) * (across - min(shape) / 2)
        beyond = (0.5 - distance + per_item(thickness) / 2).clamp(0, 1)
        line = torch.where(per_item(solid), beyond, stripe(distance.abs(), thickness))
        found = torch.maximum(found, line * per_item(all_sides | draws.chance(0.4)))
    return found * per_item(strength)


def closed_frames(boxes: Tensor, shape: Shape, draws: Draws) -> Tensor:
    """A rectangle around the digit in its box [n, 4], as of a form's field: near it or far, upright or not quite."""
    x, y = pixel_centres(shape)
    left, top, right, bottom = boxes.T
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    size = torch.maximum(right - left, bottom - top).clamp(min=6)
    half_width, half_height = (size * draws.uniform(0.55, 1.3) for _ in range(2))
    off_x, off_y = (size * draws.normal() * 0.08 for _ in range(2))
    angle = draws.normal() * 0.03
    across = x - per_item(middle_x + off_x)
    down = y - per_item(middle_y + off_y)
    turned_x = (per_item(angle.cos()) * across + per_item(angle.sin()) * down).abs()
    turned_y = (per_item(angle.cos()) * down - per_item(angle.sin()) * across).abs()
    outside = torch.maximum(turned_x - per_item(half_width), turned_y - per_item(half_height))
    return stripe(outside.abs(), draws.log_uniform(0.4, 4)) * per_item(draws.log_uniform(0.2, 1.3))


def table(shape: Shape, draws: Draws) -> Tensor:
    """Where the picture shows no paper but what it lies on, FP32 [n, height, width], 0 to 1: a strip or a corner."""
    x, y = pixel_centres(shape)
    angle = draws.integers(4) * (torch.pi / 2) + draws.normal() * 0.15
    beyond = torch.zeros(draws.count, *shape)
    for turn, probability in ((0.0, 1.0), (torch.pi / 2, 0.35)):
        cos, sin = per_item((angle + turn).cos()), per_item((angle + turn).sin())
        towards = cos * (x - shape[1] / 2) + sin * (y - shape[0] / 2)
        distance = draws.uniform(0.28, 0.52) * min(shape)
        part = (0.5 + (towards - per_item(distance)) / per_item(draws.log_uniform(0.7, 3))).clamp(0, 1)
        beyond = torch.maximum(beyond, part * per_item(draws.chance(probability)))
    return beyond


def padding(boxes: Tensor, shape: Shape, draws: Draws) -> Tensor:
    """What lies beyond a tight cut around boxes [n, 4] that was padded: FP32 [n, height, width], 0 or 1."""
    x, y = pixel_centres(shape)
    cut = boxes + draws.uniform(-1, 6, 4) * torch.tensor([-1.0, -1.0, 1.0, 1.0])
    left, top, right, bottom = (per_item(edge) for edge in cut.T)
    across, down = (x < left) | (x > right), (y < top) | (y > bottom)
    kind = per_item(draws.uniform(0, 1))
    beyond: Tensor = (across & (kind < 0.7)) | (down & (kind > 0.3))
    return beyond.float()


def specks(shape: Shape, draws: Draws, count: int = 6) -> Tensor:
    """Up to six specks and dashes of up to 3 pixels' radius."""
    x, y = pixel_centres(shape)
    places = draws.uniform(0, 1, count, 2, 1, 1) * torch.tensor([shape[1], shape[0]]).view(2, 1, 1)
    aspect = draws.log_uniform(0.4, 2.5, count, 1, 1)
    distance = torch.hypot((x - places[:, :, 0]) / aspect, (y - places[:, :, 1]) * aspect)
    radius = draws.log_uniform(0.3, 3, count, 1, 1)
    dots = (0.5 + radius - distance).clamp(0, 1) * (2 * radius).clamp(max=1) * draws.chance(0.5, count, 1, 1)
    return dots.amax(1) * per_item(draws.uniform(0.3, 1.1))


def print_marks(shape: Shape, draws: Draws) -> Tensor:
    """A row of small marks, as of printed text, near one of the level edges."""
    x, y = pixel_centres(shape)
    height = draws.uniform(1.5, 0.12 * min(shape))
    row = torch.where(draws.chance(0.5), draws.uniform(0.02, 0.16), draws.uniform(0.84, 0.98)) * shape[0]
    pattern = (draws.uniform(0, 1, 2, 24) < 0.5).float()
    columns = (x[0] / shape[1] * 23).round().long()
    upper = y[None] < per_item(row)
    marks = torch.where(upper, pattern[:, 0, columns][:, None], pattern[:, 1, columns][:, None])
    start, end = draws.uniform(-0.3, 0.6), draws.uniform(0.4, 1.3)
    inside = (x > per_item(start * shape[1])) & (x < per_item(end * shape[1]))
    band = (0.5 + per_item(height) / 2 - (y - per_item(row)).abs()).clamp(0, 1)
    return marks * band * inside * per_item(draws.uniform(0.2, 1))


def neighbours(digits: DistanceFields, shape: Shape, draws: Draws) -> Tensor:
    """Digits of which a small part reaches into the picture from one of its sides."""
    size = draws.uniform(0.3, 1.1) * min(shape)
    seen = draws.uniform(0.03, 0.3) * size
    along = draws.uniform(-0.2, 1.2)
    side = draws.integers(4)
    x = torch.where(side == 0, seen - size, torch.where(side == 1, shape[1] - seen, along * shape[1] - size / 2))
    y = torch.where(side == 2, seen - size, torch.where(side == 3, shape[0] - seen, along * shape[0] - size / 2))
    boxes = torch.stack([x, y, x + size, y + size], dim=1)
    return render(digits, boxes, draws.chance(0.8), shape, draws).ink


def blots(shape: Shape, draws: Draws) -> Tensor:
    """Filled discs and bars, which are no digit."""
    x, y = pixel_centres(shape)
    place = draws.uniform(0.2, 0.8, 2, 1, 1) * torch.tensor([shape[1], shape[0]]).view(2, 1, 1)
    size = draws.log_uniform(0.04, 0.5) * min(shape)
    aspect = draws.log_uniform(0.6, 1.6)
    across, down = (x - place[:, 0]) / per_item(aspect), (y - place[:, 1]) * per_item(aspect)
    round_ones = torch.hypot(across, down)
    distance = torch.where(per_item(draws.chance(0.7)), round_ones, torch.maximum(across.abs(), down.abs()))
    return (0.5 + per_item(size) - distance).clamp(0, 1)
