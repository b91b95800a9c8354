"""Normaliser artifacts: how digits look after the service normalised pictures of them.

A network that is trained on such images too predicts uploads of these kinds more accurately. Pictures are small,
bilevel or squeezed; or they are as those of the segmenter's training, of any pen, paper, light and noise.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from service.errors import UnprocessableInput
from service.images.normaliser.mnist_geometry import fit_mnist_geometry
from service.images.normaliser.segmentation import Grey, box_of
from training.normaliser import normalise
from training.progress import Progress
from training.recipes.gradient_descent import Distortion
from training.segmenter.distance_fields import distance_fields
from training.segmenter.draws import Draws
from training.segmenter.scenes import compose

INK_SIDES = (12, 28)  # pixels: range of the longest side of the ink
SQUARE_FRACTION = 0.5  # of the small pictures are squeezed into a square,
MIN_SQUARE_ASPECT = 0.4  # but only those whose short side is more than this fraction of the long one
BILEVEL_FRACTION = 0.7  # of the small pictures are made bilevel,
BILEVEL_THRESHOLDS = (60, 160)  # with a threshold in this range, of 255
MAX_MARGIN = 4  # pixels of paper around a small picture that is not square; at least 1
MIN_INK_LEVEL = 40  # of 255: what belongs to the extent of the ink
MAX_DIFFERENCE = 40.0  # mean grey levels: if what was found differs more from what was drawn, it cannot be read
BATCH = 128


def with_artifacts(images: Tensor, distortion: Distortion | None, seed: int, progress: Progress) -> Tensor:
    """UINT8 [n, 28, 28] -> UINT8 [n, 1 + copies, 28, 28], the original and copies with artifacts of each image.

    The images are returned unchanged if the recipe uses no artifacts.
    """
    if distortion is None or not distortion.artifact_fraction:
        return images
    seeds = range(seed, seed + distortion.artifact_copies)
    found = [roundtrip_through_normaliser(images, distortion.scene_fraction, one, progress) for one in seeds]
    return torch.stack([images, *found], dim=1)


def roundtrip_through_normaliser(images: Tensor, scene_fraction: float, seed: int, progress: Progress) -> Tensor:
    """Make a picture of each image, and normalise it again: UINT8 [n, 28, 28] -> UINT8 [n, 28, 28].

    A fraction of the pictures are as those of the segmenter's training, the others are small. An image whose picture
    the normaliser rejects is returned unchanged, or as it was drawn.
    """
    random, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    found: list[Grey] = []
    for batch in progress.track("normalising pictures of digits", images.cpu().split(BATCH)):
        in_scene = torch.from_numpy(random.random(len(batch)) < scene_fraction)
        scenes = iter(_from_scenes(batch[in_scene], generator))
        small = (_from_small_picture(image, random) for image in batch[~in_scene].numpy())
        found += [next(scenes) if scene else next(small) for scene in in_scene.tolist()]
    return torch.from_numpy(np.stack(found)).to(images.device)


def _from_scenes(images: Tensor, generator: torch.Generator) -> list[Grey]:
    """Each image drawn into a picture with a random pen, as the normaliser finds it there."""
    fields = distance_fields(images, Progress.silent()) if len(images) else ()
    if len(fields) != len(images) or not fields:  # one of them has no ink
        return list(images.numpy())
    scenes = compose(fields, Draws(len(images), generator), torch.arange(len(images)))
    pictures, masks = ((part * 255).round().to(torch.uint8).numpy() for part in (scenes.pictures, scenes.masks))
    return [
        _normalised(picture, mask) if (mask >= MIN_INK_LEVEL).any() else image
        for picture, mask, image in zip(pictures, masks, images.numpy(), strict=True)
    ]


def _normalised(picture: Grey, mask: Grey) -> Grey:
    """What the normaliser finds in a picture; or the mask, if that cannot be the same digit."""
    drawn = fit_mnist_geometry(_cropped(mask))
    try:
        found = normalise(picture)
    except UnprocessableInput:
        return drawn
    difference = np.abs(found.astype(np.int16) - drawn).mean()
    return found if difference <= MAX_DIFFERENCE else drawn


def _from_small_picture(image: Grey, random: np.random.Generator) -> Grey:
    if not (image > MIN_INK_LEVEL).any():
        return image
    try:
        return normalise(255 - _small_picture(image, random))
    except UnprocessableInput:
        return image


def _small_picture(image: Grey, random: np.random.Generator) -> Grey:
    """The ink of an image as a picture of random size, perhaps square, perhaps bilevel: UINT8, 0 = paper."""
    crop = Image.fromarray(_cropped(image))
    side = int(random.integers(INK_SIDES[0], INK_SIDES[1] + 1))
    scale = side / max(crop.size)
    square = random.random() < SQUARE_FRACTION and min(crop.size) > MIN_SQUARE_ASPECT * max(crop.size)
    size = (side, side) if square else (max(1, round(crop.width * scale)), max(1, round(crop.height * scale)))
    resampling = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    ink = np.asarray(crop.resize(size, resampling))
    if random.random() < BILEVEL_FRACTION:
        ink = np.where(ink > random.uniform(*BILEVEL_THRESHOLDS), np.uint8(255), np.uint8(0))
    return ink if square else np.pad(ink, random.integers(1, MAX_MARGIN + 1, (2, 2)))


def _cropped(ink: Grey) -> Grey:
    left, top, width, height = box_of(ink >= MIN_INK_LEVEL)
    return ink[top : top + height, left : left + width]
