"""The paper: which side of it the ink is on, how bright it is from place to place, and how dark the ink lies on it.

What is looked for is dark and narrower than the paper around it. Filling such places (a morphological closing: Serra,
"Image Analysis and Mathematical Morphology", 1982) leaves the paper as it would be without ink, with its shading and
its shadows; the difference is the ink.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Grey = NDArray[np.uint8]

STROKE = 0.3  # of the shorter side: the widest stroke that is told from paper
SIGNIFICANT = 64  # pixels a side: enough to tell ink from paper by
CORNERS = 1.5  # standard deviations of skewness are worth one of the corners' level
TINY = 40  # pixels: up to here a picture has one paper, no grain and nothing to be cut away
LEAST_RISE = 24  # of 255: what is as much darker at the picture's edge than behind it may be ink
STEEP = 2.5  # and it is, if two pixels make up this part of the way; shading rises slowly
DIMMEST = np.float32(64)  # of 255: how dark paper may be; ink takes its share of the light that falls on it
GRAIN = 1.5  # from a quartile to the median: a standard deviation, of a normal distribution


def ranked(values: NDArray[Any], share: float) -> Any:
    """The value below which such a share of them lies; half of them is the median, but for a mean of two."""
    place = int(values.size * share)
    return np.partition(values, place, axis=None)[place]


def reduced(grey: Grey, side: int) -> tuple[Grey, int]:
    """The picture with its longest side at most `side`, by averaging whole squares; and how long theirs is."""
    factor = -(-max(grey.shape) // side)
    return (np.asarray(Image.fromarray(grey).reduce(factor)), factor) if factor > 1 else (grey, 1)


def lightness(grey: Grey) -> float:
    """Above 0 if the ink is lighter than the paper, below if it is darker; from 1 on that is beyond doubt.

    The fewer pixels stand out from the more, and from their neighbourhood. Two signs are added up: the skewness of what
    is left when the neighbourhood's mean is taken away, which no shading disturbs, and how far the mean lies from the
    median in standard deviations, which tells in a picture full of ink. In a tiny picture, which may be cut out so
    tightly that there is less paper than ink, its corners are asked too.
    """
    small, _ = reduced(grey, SIGNIFICANT)
    levels = small.astype(np.float32)
    apart = levels - levels.sum() / levels.size
    off_middle = float(ranked(apart, 0.5))
    spread = float(np.sqrt(np.vdot(apart, apart)))
    if max(grey.shape) > TINY:
        around = Image.fromarray(small).filter(ImageFilter.BoxBlur(max(1, max(small.shape) // 8)))
        apart = levels - np.asarray(around, np.float32)
    squares = apart * apart
    local = float(np.sqrt(np.vdot(apart, apart)))
    if not (spread and local):
        return 0.0
    sign = np.sqrt(levels.size) * (np.vdot(squares, apart) / local**3 - off_middle / spread)
    if max(grey.shape) <= TINY:
        corners = apart[0, 0] + apart[0, -1] + apart[-1, 0] + apart[-1, -1]
        sign -= CORNERS / 4 * corners / spread * np.sqrt(levels.size)
    return float(sign)


def darkness(grey: Grey) -> tuple[Grey, float]:
    """How much darker than the paper each pixel is, 0 to 255; and the paper's grain, as a standard deviation.

    As a share of the light that falls there, but for a tiny picture: its paper is one level.
    """
    height, width = grey.shape
    if max(height, width) <= TINY:
        level = np.uint8(ranked(grey, 0.75))
        return level - np.minimum(grey, level), 0.0
    smooth = _smoothed(grey)
    paper = _closed(smooth, max(2, round(min(height, width) * STROKE / 2)))
    share = np.float32(255) / np.maximum(paper, DIMMEST)
    below = ((paper - smooth) * share).astype(np.uint8)
    counts = np.cumsum(Image.fromarray(below).histogram()[: int(below.max()) // 2 + 1])  # of paper, not of ink
    lower, median = np.searchsorted(counts, [counts[-1] / 4, counts[-1] / 2])
    return below - np.minimum(below, np.uint8(median)), max(1.0, float(median - lower) * GRAIN)


def _smoothed(grey: Grey) -> Grey:
    """The mean of each pixel's 3x3 neighbourhood; an eighth of the time that Pillow's BoxBlur(1) takes."""
    wide = np.pad(grey, 1, "edge").astype(np.uint16)
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    sums = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    mean: Grey = ((sums + np.uint16(4)) // np.uint16(9)).astype(np.uint8)
    return mean


def _closed(grey: Grey, reach: int) -> Grey:
    """What is dark and narrower than 2 `reach` + 1 pixels is filled."""
    wide, rows = _continued(grey, reach)
    wide, columns = _continued(wide.T, reach)
    wide = wide.T
    for take in (np.maximum, np.minimum):
        wide = sliding(sliding(wide, reach, take, 0), reach, take, 1)
    return wide[rows : rows + grey.shape[0], columns : columns + grey.shape[1]]


def _continued(grey: Grey, reach: int) -> tuple[Grey, int]:
    """Rows added above and below, as the picture might go on: slopes go on sloping, and beyond ink there is paper."""
    reach = min(reach, len(grey) - 1)
    above, below = (_beyond(inward[: 2 * reach + 1], reach) for inward in (grey, grey[::-1]))
    return np.concatenate([above, grey, below[::-1]]), reach


def _beyond(near: Grey, reach: int) -> Grey:
    """What might lie before the first of some rows: they go on the other way, or, where they begin in ink, as paper."""
    outward: Grey = (2 * near[0].astype(np.int16) - near[reach:0:-1]).clip(0, 255).astype(np.uint8)
    paper = near.max(axis=0)
    rising = np.flatnonzero(paper - near[0] > LEAST_RISE)
    if rising.size:
        inked = rising[_begin_in_ink(near[:, rising], paper[rising])]
        outward[:, inked] = paper[inked]
    return outward


def _begin_in_ink(near: Grey, paper: Grey) -> NDArray[np.bool_]:
    """Whether the first of some rows is ink, and not paper in the shade.

    Ink stays dark until it ends, and then within two pixels; shade goes slowly, whatever lies on it further in.
    """
    rise = paper - near[0]
    end = (near > near[0] + rise // 2).argmax(axis=0)
    columns = np.arange(len(end))
    before, after = near[np.maximum(end - 1, 0), columns], near[np.minimum(end + 1, len(near) - 1), columns]
    deepest = np.where(np.arange(len(near))[:, None] < end, near, np.uint8(255)).min(axis=0)
    steps = after.astype(np.int16) - before
    inked: NDArray[np.bool_] = (STEEP * steps >= rise) & (near[0] <= deepest + rise // 4)
    return inked


def sliding(grey: Grey, reach: int, take: Callable[[Grey, Grey], Grey], axis: int) -> Grey:
    """The most (`np.maximum`) or the least within `reach` pixels along an axis, in windows doubled until they fit."""
    lines = grey if axis == 0 else grey.T
    lines = np.concatenate([lines[:1].repeat(reach, 0), lines, lines[-1:].repeat(reach, 0)])
    window = 1
    while 2 * window <= 2 * reach + 1:
        lines = take(lines[:-window], lines[window:])
        window *= 2
    if rest := 2 * reach + 1 - window:
        lines = take(lines[:-rest], lines[rest:])
    return lines if axis == 0 else lines.T
