"""What hangs together: the connected pieces of a mask, found run by run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Whole = NDArray[np.intp]


@dataclass(frozen=True)
class Runs:
    """The horizontal runs of a mask, row by row: pixels `start` to `end` - 1 of `row`."""

    row: Whole
    start: Whole
    end: Whole

    @classmethod
    def of(cls, mask: Mask) -> "Runs":
        """Every unbroken stretch of True in each row."""
        height, width = mask.shape
        fenced = np.zeros((height, width + 2), np.bool_)  # a row ends before the next begins
        fenced[:, 1:-1] = mask
        flat = fenced.ravel()
        edges = np.flatnonzero(flat[1:] != flat[:-1])
        row, start = np.divmod(edges[::2], width + 2)
        return cls(row, start, start + edges[1::2] - edges[::2])

    def paint(self, chosen: NDArray[Any], shape: tuple[int, int]) -> Mask:
        """The mask of some of the runs; `chosen` are booleans, one a run."""
        steps = np.zeros((shape[0], shape[1] + 1), np.int8)
        row = self.row[chosen]
        steps[row, self.start[chosen]] = 1
        steps[row, self.end[chosen]] -= 1
        mask: Mask = steps.cumsum(axis=1, dtype=np.int8)[:, :-1].view(np.bool_)
        return mask


@dataclass(frozen=True)
class Pieces:
    """Connected pieces, each with its box, its ink (the sum of darkness in it) and its place.

    `of_run` says to which piece each of the mask's runs belongs. Pixels that touch at a corner hang together.
    """

    mask: Mask
    runs: Runs
    of_run: Whole
    top: Whole
    bottom: Whole
    left: Whole
    right: Whole
    ink: NDArray[Any]

    @classmethod
    def of(cls, mask: Mask, darkness: NDArray[Any]) -> "Pieces":
        """The pieces of a mask [height, width], and how much darkness [height, width] lies in each."""
        runs = Runs.of(mask)
        of_run, count = _joined(runs, mask.shape[1])
        height, width = mask.shape
        sums = np.concatenate([[0], darkness.ravel().cumsum(dtype=np.int32)])
        ink = sums[runs.row * width + runs.end] - sums[runs.row * width + runs.start]
        if count == 1:  # as most small pictures have it
            top, bottom, left, right = runs.row[:1], runs.row[-1:] + 1, runs.start.min(), runs.end.max()
            return cls(mask, runs, of_run, top, bottom, left[None], right[None], ink.sum()[None])
        top, left = np.full(count, height), np.full(count, width)
        bottom, right = np.zeros(count, np.intp), np.zeros(count, np.intp)
        np.minimum.at(top, of_run, runs.row)
        np.maximum.at(bottom, of_run, runs.row + 1)
        np.minimum.at(left, of_run, runs.start)
        np.maximum.at(right, of_run, runs.end)
        return cls(mask, runs, of_run, top, bottom, left, right, np.bincount(of_run, ink, count))

    def __len__(self) -> int:
        return len(self.ink)

    @property
    def height(self) -> Whole:
        """Of each box."""
        return self.bottom - self.top

    @property
    def width(self) -> Whole:
        """Of each box."""
        return self.right - self.left

    def box(self, chosen: Mask) -> tuple[int, int, int, int]:
        """Left, top, width and height of what surrounds some of the pieces."""
        left, top = int(self.left[chosen].min()), int(self.top[chosen].min())
        return left, top, int(self.right[chosen].max()) - left, int(self.bottom[chosen].max()) - top

    def share_along_sides(self, piece: int) -> float:
        """The share of a piece's pixels that lie within an eighth of its box's size from one of its four sides."""
        mine = self.of_run == piece
        row, start, end = self.runs.row[mine], self.runs.start[mine], self.runs.end[mine]
        high, wide = self.height[piece] / 8, self.width[piece] / 8
        inner = (row >= self.top[piece] + high) & (row < self.bottom[piece] - high)
        middle = np.minimum(end, self.right[piece] - wide) - np.maximum(start, self.left[piece] + wide)
        return 1 - float(np.maximum(middle, 0)[inner].sum() / (end - start).sum())

    def paint(self, chosen: Mask) -> Mask:
        """The mask of some of the pieces."""
        return self.mask if chosen.all() else self.runs.paint(chosen[self.of_run], self.mask.shape)


def _joined(runs: Runs, width: int) -> tuple[Whole, int]:
    """Number the runs by the piece that they belong to: runs of neighbouring rows that touch are of one piece."""
    first = runs.row * (width + 2) + runs.start  # as if the rows lay one after another, two pixels apart
    last = first + runs.end - runs.start
    below = np.searchsorted(last, first + width + 2), np.searchsorted(first, last + width + 2, side="right")
    count = np.maximum(below[1] - below[0], 0)
    upper = np.repeat(np.arange(len(first)), count)
    lower = np.arange(len(upper)) + np.repeat(below[0] - (count.cumsum() - count), count)
    root = np.arange(len(first))
    root[lower] = upper  # each run hangs on the one above that comes last, and so on up to a first
    root = _roots(root)
    while (apart := root[upper] != root[lower]).any():  # but two may meet in a run below
        one, other = root[upper[apart]], root[lower[apart]]
        root[np.maximum(one, other)] = np.minimum(one, other)
        root = _roots(root)
    first_of = root == np.arange(len(root))
    return (first_of.cumsum() - 1)[root], int(np.count_nonzero(first_of))


def _roots(parent: Whole) -> Whole:
    """Where each ends up that is sent to its parent, and on; the way is halved at every round."""
    for _ in range(len(parent).bit_length()):
        parent = parent[parent]
    return parent
