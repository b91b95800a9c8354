"""Batches of synthetic pictures, each with the mask that the segmenter is to find in it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.segmenter import clutter
from training.segmenter.capture import blur, jpeg, light, small_original
from training.segmenter.distance_fields import DistanceFields
from training.segmenter.draws import Draws, per_item
from training.segmenter.rendering import Shape, render

SHAPES: tuple[Shape, ...] = (
    (64, 64), (64, 64), (64, 64), (64, 64), (64, 48), (64, 40), (64, 32), (64, 56), (48, 64), (40, 64),
)  # fmt: skip
NO_DIGIT, SEVERAL_DIGITS = 0.15, 0.15
SMALL_DIGIT = 12  # pixels: smaller digits are not faint
SMALL_SIDES = (14, 16, 18, 20, 24, 28, 28, 32, 40, 48)  # pixels: of the originals of small pictures
SMALLEST_ORIGINAL = 9  # pixels of the digit in them


@dataclass(frozen=True)
class Scenes:
    """`pictures` and `masks` FP32 [n, height, width], 0 to 1; the mask is 1 in the ink of digits.

    `digits` INT64 [n] is how many there are: 0, 1, or 2 for more. `inverted` FP32 [n] is 1 where ink is lighter.
    """

    pictures: Tensor
    masks: Tensor
    digits: Tensor
    inverted: Tensor

    def only(self, index: int) -> "Scenes":
        """One of them."""
        one = slice(index, index + 1)
        return Scenes(self.pictures[one], self.masks[one], self.digits[one], self.inverted[one])


def compose(digits: DistanceFields, draws: Draws, chosen: Tensor | None = None) -> Scenes:
    """The next batch, all of one of `SHAPES`. With `chosen` [n] each picture has this one digit."""
    shape = SHAPES[draws.one_of(len(SHAPES))]
    count, masks, boxes = _render_digits(digits, shape, draws, chosen)
    size = (boxes[:, 2:] - boxes[:, :2]).amax(1)
    clean = draws.chance(0.3)
    dark = _add_clutter(masks * _texture(shape, draws), digits, boxes, (count == 0), clean, draws)
    drawn = clean & draws.chance(0.5)  # on a screen: black on white
    paper = torch.where(drawn, 1.0, draws.uniform(0.35, 1))
    contrast = paper * torch.where(draws.chance(0.5), draws.log_uniform(0.12, 1), draws.uniform(0.4, 1))
    contrast = torch.where(drawn, 1.0, torch.where(size < SMALL_DIGIT, contrast.clamp(min=0.3), contrast))
    off_paper = _off_paper(boxes, masks, clean, draws)
    elsewhere = torch.where(draws.chance(0.4), draws.chance(0.5).float(), draws.uniform(0.02, 1))
    level = per_item(paper) + off_paper * per_item(elsewhere - paper)
    lit = draws.change_where(~(clean & draws.chance(0.7)), lambda some, _: light(shape, some), torch.ones_like(masks))
    pictures = (level - per_item(contrast) * dark * (1 - off_paper)) * lit
    pictures = _captured(pictures, contrast, size, (count == 0), clean, draws)
    inverted = draws.chance(0.5)
    pictures = torch.where(per_item(inverted), 1 - pictures, pictures)
    return Scenes((pictures * 255).round().clamp(0, 255) / 255, masks * (1 - off_paper), count, inverted.float())


def _add_clutter(
    dark: Tensor, digits: DistanceFields, boxes: Tensor, empty: Tensor, clean: Tensor, draws: Draws
) -> Tensor:
    """What else is dark in the picture is drawn over the ink."""
    shape = dark.shape[1], dark.shape[2]
    everywhere = torch.ones_like(clean)
    layers: tuple[tuple[float, Tensor, Callable[[Draws, Tensor], Tensor]], ...] = (
        (0.68, ~clean, lambda some, chosen: clutter.ruled_lines(boxes[chosen], shape, some)),
        (0.42, ~clean, lambda some, _: clutter.frames(shape, some)),
        (0.22, everywhere, lambda some, chosen: clutter.closed_frames(boxes[chosen], shape, some)),
        (0.28, ~clean, lambda some, _: clutter.specks(shape, some)),
        (0.1, ~clean, lambda some, _: clutter.print_marks(shape, some)),
        (0.22, ~clean, lambda some, _: clutter.neighbours(digits, shape, some)),
        (0.25, empty, lambda some, _: clutter.blots(shape, some)),
    )
    for probability, where, layer in layers:
        over = draws.change_where(draws.chance(probability) & where, layer, torch.zeros_like(dark))
        dark = torch.maximum(dark, over)
    return dark


def _off_paper(boxes: Tensor, masks: Tensor, clean: Tensor, draws: Draws) -> Tensor:
    """Where there is no paper, FP32 [n, height, width], 0 to 1: a table, or what a tight cut was padded with."""
    shape = masks.shape[1], masks.shape[2]
    draw = draws.uniform(0, 1)
    off_paper = draws.change_where(
        (draw < 0.17) & ~clean, lambda some, _: clutter.table(shape, some), torch.zeros_like(masks)
    )
    return draws.change_where(draw > 0.92, lambda some, chosen: clutter.padding(boxes[chosen], shape, some), off_paper)


def _render_digits(
    digits: DistanceFields, shape: Shape, draws: Draws, chosen: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """How many digits there are, their ink, and the boxes of the first ones."""
    draw = draws.uniform(0, 1)
    count = torch.where(draw < NO_DIGIT, 0, torch.where(draw < NO_DIGIT + SEVERAL_DIGITS, 2, 1))
    if chosen is not None:
        count = torch.ones_like(count)
    several = count == 2
    tight = draws.chance(0.45)
    region = torch.where(tight[:, None], _whole(shape, draws), _anywhere(shape, several, draws))
    left, right = _halves(region, draws)
    boxes = torch.where(several[:, None], left, region)
    first = render(digits, boxes, tight & draws.chance(0.4), shape, draws, chosen)
    second = draws.change_where(
        several,
        lambda some, chosen: render(digits, right[chosen], some.chance(0.1), shape, some).ink,
        torch.zeros_like(first.ink),
    )
    return count, torch.maximum(first.ink, second) * per_item(count > 0), first.boxes


def _whole(shape: Shape, draws: Draws) -> Tensor:
    """Boxes that fill the picture but for up to five pixels a side, or are cut off by one."""
    frame = torch.tensor([0.0, 0.0, shape[1], shape[0]])
    return frame + draws.uniform(-1, 5, 4) * torch.tensor([1.0, 1.0, -1.0, -1.0])


def _anywhere(shape: Shape, several: Tensor, draws: Draws) -> Tensor:
    """Boxes of any size at any place; where there are several digits, they are larger."""
    size = torch.where(several, draws.log_uniform(0.3, 1), draws.log_uniform(0.07, 0.95))
    room = size[:, None] * torch.tensor([float(shape[1]), float(shape[0])])
    spread = draws.uniform(-1, 1, 2)
    spread = torch.where(draws.chance(0.5)[:, None], spread, spread.sign() * spread.abs() ** 3)  # half near the middle
    corner = (spread + 1) / 2 * (torch.tensor([float(shape[1]), float(shape[0])]) - room)
    return torch.cat([corner, corner + room], dim=1)


def _halves(region: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Two boxes in a region, side by side or, one in ten, one above the other; with a gap, and not of one size."""
    size = region[:, 2:] - region[:, :2]
    axis = draws.chance(0.1).long()
    length = size.gather(1, axis[:, None])[:, 0]
    gap = draws.uniform(-0.03, 0.2) * length
    boxes = []
    for end in (False, True):
        box = region.clone()
        edge = region.gather(1, axis[:, None])[:, 0] + length / 2 + (gap / 2 if end else -gap / 2)
        box.scatter_(1, (axis if end else axis + 2)[:, None], edge[:, None])
        inset = (box[:, 2:] - box[:, :2]) * draws.uniform(0, 0.12, 2)
        boxes.append(torch.cat([box[:, :2] + inset, box[:, 2:] - inset * draws.uniform(0, 1, 2)], dim=1))
    return boxes[0], boxes[1]


def _texture(shape: Shape, draws: Draws) -> Tensor:
    """How dark the ink is at each place, FP32 [n, height, width]: even, or as of a pencil or a pen that runs dry."""
    uneven = draws.uniform(0, 0.25) * draws.chance(0.4)
    return (1 - per_item(uneven) * draws.smooth_noise(shape, 12).abs()).clamp(0.25, 1)


def _captured(pictures: Tensor, contrast: Tensor, size: Tensor, empty: Tensor, clean: Tensor, draws: Draws) -> Tensor:
    """What light, camera and file leave of a picture; `size` [n] is the digit's, in pixels."""
    blurred = ~clean & draws.chance(0.6)
    pictures = draws.change_where(blurred, lambda some, chosen: blur(pictures[chosen], some), pictures)
    side = SMALL_SIDES[draws.one_of(len(SMALL_SIDES))]
    readable = (size * side / max(pictures.shape[1:]) >= SMALLEST_ORIGINAL) | empty
    grain = contrast * draws.uniform(0, 0.15) * draws.chance(0.3) * ~clean
    grain = torch.where(empty & draws.chance(0.4), contrast * draws.uniform(0.1, 1), grain)  # nothing but noise
    bilevel = draws.chance(0.6) & (clean | empty)
    pictures = draws.change_where(
        readable & draws.chance(0.6),
        lambda some, chosen: small_original(pictures[chosen], side, grain[chosen], bilevel[chosen], some),
        pictures,
    )
    noise = contrast * draws.uniform(0, 0.3) * draws.uniform(0, 1) * draws.chance(0.5) * ~clean
    noise = torch.where(empty & draws.chance(0.3), contrast * draws.uniform(0.1, 1), noise)
    pictures = pictures + per_item(noise) * draws.normal(*pictures.shape[1:])
    return draws.change_where(
        draws.chance(0.3), lambda some, chosen: jpeg(pictures[chosen].clamp(0, 1), some), pictures
    )
