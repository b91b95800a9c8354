"""Ruled and squared paper: straight thin lines from edge to edge are not ink."""

import numpy as np
from numpy.typing import NDArray

from service.images.normaliser.pieces import Mask, Runs

SLOPES = np.tan(np.radians(np.arange(-16, 16.5, 0.5)))  # how far paper may be turned, in half degrees
THIN = 0.025  # of the longer side: no thicker is a line
FILLED = 0.4  # of its length at least is seen
GAP = 0.04  # of the longer side: no nearer to each other are two lines
RIM = 0.12  # of the longer side: so near to the edge of the picture a line is seen, on its left and on its right
AT_RIM = 0.25  # of the rim it fills at least


def lines_of(mask: Mask) -> tuple[Mask, int]:
    """What of the mask are lines, near level and near upright, and how many lines that is."""
    level, rows = _near_level(mask)
    upright, columns = _near_level(mask.T)
    return level | upright.T, rows + columns


def _near_level(mask: Mask) -> tuple[Mask, int]:
    """The short upright runs of pixels whose middles stand in one line; two lines at least, one may be a stroke."""
    height, width = mask.shape
    runs = Runs.of(mask.T)  # of each column
    thin = runs.end - runs.start <= max(3.0, THIN * max(mask.shape))
    column, middle = runs.row[thin], (runs.start[thin] + runs.end[thin]) / 2
    margin = int(SLOPES[-1] * width / 2) + 2
    count = height + 2 * margin
    bins = (middle - np.outer(SLOPES, column - width / 2)).astype(np.intp) + margin  # [slopes, runs]
    bins += count * np.arange(len(SLOPES))[:, None]
    rim = RIM * max(mask.shape)
    at_rim = np.minimum.reduce([column, width - 1 - column, middle, height - 1 - middle]) < rim
    left = column < width / 2
    is_line = _votes(bins, count) >= FILLED * _lengths(mask.shape, margin)
    for side in (left, ~left):
        is_line &= _votes(bins[:, at_rim & side], count) >= AT_RIM * rim
    places = np.flatnonzero(is_line.any(axis=0))
    lines = 1 + int(np.count_nonzero(np.diff(places) > GAP * max(mask.shape)))
    if lines < 2:
        return np.zeros_like(mask), 0
    chosen = np.zeros(len(runs.row), np.bool_)
    chosen[thin] = is_line.ravel()[bins].any(axis=0)
    return runs.paint(chosen, (width, height)).T, lines


def _lengths(shape: tuple[int, int], margin: int) -> NDArray[np.float64]:
    """For how many columns each line is in the picture, half the width at least: [slopes, places]."""
    height, width = shape
    place = np.arange(-margin, height + margin)
    rise = np.abs(SLOPES[:, None]) * width / 2
    steep = np.maximum(np.abs(SLOPES[:, None]), 1e-6)
    inside = np.minimum(place + rise, height) - np.maximum(place - rise, 0)
    flat = ((place >= 0) & (place < height)) * width
    lengths = np.where(rise < 0.5, flat, inside / steep)
    return np.clip(lengths, width / 2, width)


def _votes(bins: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """How many runs each line has that goes through this place with this slope, its two neighbours included."""
    votes = np.bincount(bins.ravel(), minlength=count * len(SLOPES)).reshape(len(SLOPES), count)
    wide = votes.copy()
    wide[:, 1:] += votes[:, :-1]
    wide[:, :-1] += votes[:, 1:]
    return wide
