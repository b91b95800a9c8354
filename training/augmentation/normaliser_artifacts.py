"""Normaliser artifacts: how small, bilevel or squeezed digits look after the service normalised them.

A network that is trained on such images too predicts uploads of these kinds more accurately.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from service.errors import UnprocessableInput
from service.images.normaliser import normalise
from training.progress import Progress
from training.recipes.gradient_descent import Distortion

INK_SIDES = (12, 28)  # pixels: range of the longest side of the ink
SQUARE_FRACTION = 0.5  # of the images are squeezed into a square,
MIN_SQUARE_ASPECT = 0.4  # but only those whose short side is more than this fraction of the long one
BILEVEL_FRACTION = 0.7  # of the images are made bilevel,
BILEVEL_THRESHOLDS = (60, 160)  # with a threshold in this range, of 255
MAX_MARGIN = 4  # pixels of paper around an image that is not square; at least 1
MIN_INK_LEVEL = 40  # of 255: what belongs to the extent of the ink


def with_artifacts(images: Tensor, distortion: Distortion | None, seed: int, progress: Progress) -> Tensor:
    """UINT8 [n, 28, 28] -> UINT8 [n, 2, 28, 28], the original and a version with artifacts of each image.

    The images are returned unchanged if the recipe uses no artifacts.
    """
    if distortion is None or not distortion.artifact_fraction:
        return images
    return torch.stack([images, roundtrip_through_normaliser(images, seed, progress)], dim=1)


def roundtrip_through_normaliser(images: Tensor, seed: int, progress: Progress) -> Tensor:
    """Make images small, bilevel or square, and normalise them again: UINT8 [n, 28, 28] -> UINT8 [n, 28, 28].

    An image that the normaliser rejects is returned unchanged.
    """
    random = np.random.default_rng(seed)
    pictures = progress.track("normalising small digits", list(images.cpu().numpy()))
    return torch.from_numpy(np.stack([_roundtrip(image, random) for image in pictures])).to(images.device)


def _roundtrip(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    if not (image > MIN_INK_LEVEL).any():
        return image
    try:
        return normalise(255 - _small_picture(image, random))
    except UnprocessableInput:
        return image


def _small_picture(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """The ink of an image as a picture of random size, perhaps square, perhaps bilevel: UINT8, 0 = paper."""
    rows, columns = (np.flatnonzero((image > MIN_INK_LEVEL).any(axis=axis)) for axis in (1, 0))
    crop = Image.fromarray(image).crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    side = int(random.integers(INK_SIDES[0], INK_SIDES[1] + 1))
    scale = side / max(crop.size)
    square = random.random() < SQUARE_FRACTION and min(crop.size) > MIN_SQUARE_ASPECT * max(crop.size)
    size = (side, side) if square else (max(1, round(crop.width * scale)), max(1, round(crop.height * scale)))
    resampling = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    ink = np.asarray(crop.resize(size, resampling))
    if random.random() < BILEVEL_FRACTION:
        ink = np.where(ink > random.uniform(*BILEVEL_THRESHOLDS), np.uint8(255), np.uint8(0))
    return ink if square else np.pad(ink, random.integers(1, MAX_MARGIN + 1, (2, 2)))
