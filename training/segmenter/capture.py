"""What paper, light, cameras and files do to a picture."""

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from training.segmenter.draws import Draws, per_item
from training.segmenter.rendering import Shape, pixel_centres

BLUR_REACH = 4  # pixels
JPEG_BLOCK = 8
# The quantisation of brightness that the JPEG standard proposes (ITU-T T.81, annex K).
JPEG_TABLE = torch.tensor([
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
], dtype=torch.float32)  # fmt: skip


def light(shape: Shape, draws: Draws) -> Tensor:
    """How bright each place is, FP32 [n, height, width], about 1: gradients, vignettes, shadows, uneven paper."""
    x, y = pixel_centres(shape)
    x, y = x / shape[1] - 0.5, y / shape[0] - 0.5
    lit = 1 + per_item(draws.normal() * 0.2) * x + per_item(draws.normal() * 0.2) * y
    lit = lit * (1 - per_item(draws.uniform(0, 0.8) * draws.chance(0.3)) * (x * x + y * y))
    angle = draws.uniform(0, 2 * math.pi)
    edge = per_item(angle.cos()) * x + per_item(angle.sin()) * y - per_item(draws.uniform(-0.4, 0.4))
    shadow = torch.sigmoid(edge / per_item(draws.log_uniform(0.01, 0.3)))
    lit = lit * (1 - shadow * per_item(draws.uniform(0.05, 0.5) * draws.chance(0.25)))
    for points, amount in ((5, 0.06), (20, 0.04)):
        lit = lit * (1 + draws.smooth_noise(shape, points) * per_item(draws.uniform(0, amount) * draws.chance(0.6)))
    return lit.clamp(0.15, 1.6)


def blur(pictures: Tensor, draws: Draws) -> Tensor:
    """Each by a Gaussian of its own, with a standard deviation of up to 1.3 pixels."""
    sigma = draws.uniform(0.3, 1.3)
    reach = torch.arange(-BLUR_REACH, BLUR_REACH + 1)
    kernel = (-0.5 * (reach / sigma[:, None]) ** 2).exp()
    kernel = kernel / kernel.sum(1, keepdim=True)
    wide = pad(pictures[None], (BLUR_REACH,) * 4, mode="replicate")
    wide = conv2d(wide, kernel[:, None, None], groups=draws.count)
    return conv2d(wide, kernel[:, None, :, None], groups=draws.count)[0]


def small_original(pictures: Tensor, side: int, noise: Tensor, bilevel: Tensor, draws: Draws) -> Tensor:
    """As if the longest side had been so many pixels: reduced, and enlarged again.

    `noise` [n] is the standard deviation of what is added in between; where `bilevel` [n], two levels are left then.
    """
    shape = pictures.shape[1:]
    small = interpolate(pictures[:, None], [max(4, side * length // max(shape)) for length in shape], mode="area")[:, 0]
    small = small + per_item(noise) * draws.normal(*small.shape[1:])
    low, high = small.amin((1, 2), keepdim=True), small.amax((1, 2), keepdim=True)
    threshold = low + (high - low) * draws.uniform(0.3, 0.7, 1, 1)
    small = torch.where(per_item(bilevel), torch.where(small > threshold, high, low), small)[:, None]
    smooth = interpolate(small, shape, mode="bilinear", align_corners=False)[:, 0]
    return torch.where(per_item(draws.chance(0.5)), smooth, interpolate(small, shape, mode="nearest-exact")[:, 0])


def _cosines() -> Tensor:
    """The orthonormal discrete cosine transform of eight samples, [8, 8]."""
    k, n = torch.arange(JPEG_BLOCK)[:, None], torch.arange(JPEG_BLOCK)
    rows = (math.pi * (2 * n + 1) * k / (2 * JPEG_BLOCK)).cos() * math.sqrt(2 / JPEG_BLOCK)
    rows[0] /= math.sqrt(2)
    return rows


COSINES = _cosines()


def jpeg(pictures: Tensor, draws: Draws) -> Tensor:
    """What JPEG leaves of pictures FP32 [n, height, width], 0 to 1; the sides are multiples of 8."""
    n, height, width = pictures.shape
    quality = draws.uniform(15, 95)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    step = (JPEG_TABLE * per_item(scale)).clamp(min=1)[:, None, None] / 255
    blocks = pictures.view(n, height // 8, 8, width // 8, 8).transpose(2, 3)
    waves = ((COSINES @ blocks @ COSINES.T) / step).round() * step
    return (COSINES.T @ waves @ COSINES).transpose(2, 3).reshape(n, height, width)
