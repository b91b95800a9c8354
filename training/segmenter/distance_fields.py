"""Digits as distance fields: from them a digit renders at any size, with any pen, with smooth edges."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn.functional import interpolate, pad

from training.progress import Progress

MARGIN = 2  # pixels around MNIST's 28, so that thick pens have room
FIELD_SIDE = 32  # pixels of MNIST that a field shows
SAMPLES = 64  # of a field, a side
UNIT = 1 / 16  # pixels of MNIST: the step of a stored distance
DIRECTIONS = 16  # in which the outermost point of a digit is known
FINE = 4  # samples a pixel, from which outlines are measured
CHUNK = 256  # images that are prepared at a time


@dataclass(frozen=True)
class DistanceFields:
    """Of n digits, in MNIST's pixels.

    `fields` is INT8 [n, 2, 64, 64] in sixteenths of a pixel: the signed distance to the outline, positive in the ink,
    and the distance to the skeleton. `hulls` are the outermost points in 16 directions, FP32 [n, 16, 2], as x and y
    from the field's left top corner. `half_widths` are those of the strokes, FP32 [n].
    """

    fields: Tensor
    hulls: Tensor
    half_widths: Tensor

    def __len__(self) -> int:
        return len(self.fields)


def distance_fields(images: Tensor, progress: Progress) -> DistanceFields:
    """The distance fields of digits, UINT8 [n, 28, 28], but of images with less ink than a dot."""
    parts = [_of_chunk(chunk) for chunk in progress.track("measuring digits", images.split(CHUNK))]
    fields, hulls, half_widths = (torch.cat(part) for part in zip(*parts, strict=True))
    size = hulls.amax(dim=1) - hulls.amin(dim=1)
    measured = half_widths.isfinite() & (size > 1).all(dim=1)
    return DistanceFields(fields[measured], hulls[measured], half_widths[measured])


def _of_chunk(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    grey = pad(images.to(torch.float32), (MARGIN,) * 4).unsqueeze(1)
    fine = interpolate(grey, scale_factor=FINE, mode="bicubic")[:, 0].numpy() >= 128
    outlines = np.stack([distance_transform_edt(ink) - distance_transform_edt(~ink) for ink in fine]) / FINE
    outline = interpolate(torch.from_numpy(outlines).float().unsqueeze(1), SAMPLES, mode="area")[:, 0]
    ink = outline > 0
    thin = skeletons(ink.numpy())
    step = FIELD_SIDE / SAMPLES
    skeleton = torch.from_numpy(np.stack([distance_transform_edt(~line) for line in thin]) * step).float()
    half_widths = torch.stack([each[torch.from_numpy(line)].mean() for each, line in zip(outline, thin, strict=True)])
    fields = (torch.stack([outline, skeleton], dim=1) / UNIT).round().clamp(-127, 127).to(torch.int8)
    return fields, _hulls(ink), half_widths


def _hulls(ink: Tensor) -> Tensor:
    """The outermost ink in each direction: [n, 16, 2]."""
    centres = (torch.arange(SAMPLES) + 0.5) * (FIELD_SIDE / SAMPLES)
    y, x = (axis.flatten() for axis in torch.meshgrid(centres, centres, indexing="ij"))
    angles = torch.arange(DIRECTIONS) * (2 * torch.pi / DIRECTIONS)
    along = angles.cos()[:, None] * x + angles.sin()[:, None] * y
    furthest = torch.where(ink.flatten(1)[:, None], along, -torch.inf).argmax(dim=2)
    return torch.stack([x[furthest], y[furthest]], dim=2)


def skeletons(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Lines one pixel wide in the middle of the strokes of masks [n, height, width].

    After Zhang, Suen, "A fast parallel algorithm for thinning digital patterns", 1984.
    """
    ink = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    while True:
        before = np.count_nonzero(ink)
        for first in (True, False):
            ink[:, 1:-1, 1:-1] &= ~_removable(ink, first=first)
        if np.count_nonzero(ink) == before:
            return ink[:, 1:-1, 1:-1]


def _removable(ink: NDArray[np.bool_], *, first: bool) -> NDArray[np.bool_]:
    shifts = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]  # clockwise from above
    height, width = ink.shape[1] - 2, ink.shape[2] - 2
    around = [ink[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width] for down, right in shifts]
    count = np.sum(around, axis=0, dtype=np.int8)
    turns = np.sum([~a & b for a, b in zip(around, [*around[1:], around[0]], strict=True)], axis=0, dtype=np.int8)
    above, right, below, left = around[0], around[2], around[4], around[6]
    if first:
        exposed = ~(above & right & below) & ~(right & below & left)
    else:
        exposed = ~(above & right & left) & ~(above & below & left)
    removable: NDArray[np.bool_] = (count >= 2) & (count <= 6) & (turns == 1) & exposed
    return removable
