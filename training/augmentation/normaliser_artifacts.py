"""The ink normaliser's residue: how images come back from it that were made small, bilevel or square on the way.

A network that has seen this too is not surprised by what people upload from such sources.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from service.errors import UnusableInput
from service.images.normaliser import normalise
from training.progress import Progress
from training.recipes.recipe import Distortion

SIDES = (12, 28)  # pixels: the ink's longest side
SQUARE = 0.5  # of the images are stretched to a square, if their own proportions are not further than
NARROWEST = 0.4  # from it
BILEVEL = 0.7  # of the images have two levels only, with a threshold of
THRESHOLDS = (60, 160)  # of 255
MARGIN = 5  # pixels at most, where there is one
INK = 40  # of 255: what counts to the ink's extent

Grey = NDArray[np.uint8]


def with_residue(images: Tensor, distortion: Distortion | None, seed: int, progress: Progress) -> Tensor:
    """UINT8 [n, 28, 28] -> UINT8 [n, 2, 28, 28], each image and its residue; or as they are, if none shall be seen."""
    if distortion is None or not distortion.residue:
        return images
    return torch.stack([images, residues(images, seed, progress)], dim=1)


def residues(images: Tensor, seed: int, progress: Progress) -> Tensor:
    """UINT8 [n, 28, 28] -> UINT8 [n, 28, 28]; an image that cannot be read any more stays as it was."""
    random = np.random.default_rng(seed)
    pictures = progress.counted("normalising small digits", list(images.cpu().numpy()))
    return torch.from_numpy(np.stack([_residue(image, random) for image in pictures])).to(images.device)


def _residue(image: Grey, random: np.random.Generator) -> Grey:
    if not (image > INK).any():
        return image
    try:
        return normalise(255 - _small(image, random))
    except UnusableInput:
        return image


def _small(image: Grey, random: np.random.Generator) -> Grey:
    """The ink of an image, as a picture of some pixels: 0 = paper."""
    rows, columns = (np.flatnonzero((image > INK).any(axis=axis)) for axis in (1, 0))
    cut = Image.fromarray(image).crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    side = int(random.integers(SIDES[0], SIDES[1] + 1))
    scale = side / max(cut.size)
    square = random.random() < SQUARE and min(cut.size) > NARROWEST * max(cut.size)
    size = (side, side) if square else (max(1, round(cut.width * scale)), max(1, round(cut.height * scale)))
    smoothly = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    ink = np.asarray(cut.resize(size, smoothly))
    if random.random() < BILEVEL:
        ink = np.where(ink > random.uniform(*THRESHOLDS), np.uint8(255), np.uint8(0))
    return ink if square else np.pad(ink, random.integers(1, MARGIN, (2, 2)))
