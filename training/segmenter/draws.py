"""Random numbers for batches: each method draws one number an item, from one seeded generator."""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate


class Draws:
    """Draws for batches of `count` items; the same seed gives the same numbers."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count = count
        self.generator = generator

    def change_where(self, chosen: Tensor, change: Callable[["Draws", Tensor], Tensor], pictures: Tensor) -> Tensor:
        """Pictures [count, ...] of which those `chosen`, BOOL [count], are changed; the others cost nothing.

        `change` gets draws for the chosen ones and their indices, INT64 [k], and returns pictures [k, ...].
        """
        indices = chosen.nonzero()[:, 0]
        if not len(indices):
            return pictures
        changed = pictures.clone()
        changed[indices] = change(Draws(len(indices), self.generator), indices)
        return changed

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """FP32 [count, *shape]."""
        return low + (high - low) * torch.rand(self.count, *shape, generator=self.generator)

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """FP32 [count, *shape], their logarithms uniform."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def chance(self, probability: float, *shape: int) -> Tensor:
        """BOOL [count, *shape]."""
        return torch.rand(self.count, *shape, generator=self.generator) < probability

    def integers(self, high: int, *shape: int) -> Tensor:
        """INT64 [count, *shape], 0 to `high` - 1."""
        return torch.randint(high, (self.count, *shape), generator=self.generator)

    def one_of(self, high: int) -> int:
        """One integer for the whole batch, 0 to `high` - 1."""
        return int(torch.randint(high, (), generator=self.generator))

    def normal(self, *shape: int) -> Tensor:
        """FP32 [count, *shape], standard normal."""
        return torch.randn(self.count, *shape, generator=self.generator)

    def smooth_noise(self, shape: tuple[int, int], points: int, *channels: int) -> Tensor:
        """FP32 [count, *channels, height, width]: standard normal at `points` x `points` places, cubic between them."""
        height, width = shape
        return _cubic(height, points) @ self.normal(*channels, points, points) @ _cubic(width, points).T


@functools.cache
def _cubic(length: int, points: int) -> Tensor:
    """The weights of the points at each place, FP32 [length, points]."""
    weights = interpolate(torch.eye(points)[None, :, :, None], (length, 1), mode="bicubic", align_corners=True)
    return weights[0, :, :, 0].T.contiguous()


def per_item(values: Tensor) -> Tensor:
    """[n] -> [n, 1, 1], to be combined with pictures."""
    return values[:, None, None]
