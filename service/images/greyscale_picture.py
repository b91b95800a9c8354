"""A picture in any of Pillow's modes to greyscale or colour, reduced before anything of it is copied."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageStat

from service.images.file_formats import RANGES_OF_16, UnsupportedKind
from service.images.normaliser import to_greyscale

DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
WORKING_PIXELS = 16_000_000  # larger pictures are reduced to at most so many
TRANSPARENT_SIDE = 640  # pixels of the shorter side: larger transparent pictures are reduced to it
TRANSPARENT_PIXELS = 4_000_000
RANGES = (1.0, 255.0, 65535.0)  # of 32-bit and float samples
BAND_PIXELS = 2**18  # at a time, where a picture is reduced or has deep samples
DARK = 16  # of 255: a picture with no level of as much is a mask whose levels are numbers, and not seen as it is
LITTLE = 1 / 16  # of the range of deep samples: those that differ by less are scaled by what there is
DARK_SAMPLE = 64  # pixels a side

Bands = Callable[[int], Iterator[Image.Image]]  # from the rows of a band


@dataclass(frozen=True)
class Picture:
    """A picture by the band; `image` is all of it where it is in memory as a whole."""

    size: tuple[int, int]
    mode: str
    is_transparent: bool
    bands: Bands
    image: Image.Image | None = None

    @property
    def factor(self) -> int:
        """By how much width and height are divided."""
        return reduction_factor(self.size, is_transparent=self.is_transparent and self.mode not in DEEP_MODES)


def in_memory(image: Image.Image) -> Picture:
    """A picture as Pillow decodes it: now, before there is memory for anything else."""
    image.load()

    def bands(rows: int) -> Iterator[Image.Image]:
        for top in range(0, image.height, rows):
            yield image.crop((0, top, image.width, min(top + rows, image.height)))

    return Picture(image.size, image.mode, image.has_transparency_data, bands, image)


def reduction_factor(size: tuple[int, int], *, is_transparent: bool) -> int:
    """The smallest whole number that width and height must be divided by."""
    pixels = size[0] * size[1]
    if is_transparent:
        return max(1, min(size) // TRANSPARENT_SIDE, math.ceil(math.sqrt(pixels / TRANSPARENT_PIXELS)))
    return max(1, math.ceil(math.sqrt(pixels / WORKING_PIXELS)))


def greyscale(picture: Picture) -> NDArray[np.uint8]:
    """UINT8 [height, width]; reduced if the picture is large, or transparent."""
    if picture.mode in DEEP_MODES:
        return _reduced(_shallow(picture), picture.factor)
    if picture.mode in ("1", "L") and not picture.is_transparent:
        return np.asarray(_visible(_assemble(picture, "L")))
    return to_greyscale(_coloured(picture))


def in_colour(picture: Picture) -> NDArray[np.uint8]:
    """UINT8 [height, width, 3], red, green and blue; reduced as a greyscale picture is."""
    if picture.mode in DEEP_MODES:
        grey = _reduced(_shallow(picture), picture.factor)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    return np.asarray(_coloured(picture))


def _coloured(picture: Picture) -> Image.Image:
    if picture.is_transparent:
        return _visible(_flatten_alpha(_assemble(picture, "RGBA")))
    return _visible(_assemble(picture, "RGB"))


def _visible(image: Image.Image) -> Image.Image:
    """A picture of L or RGB; if it is dark all over, as masks of 0 and 1 are, its levels are stretched, in place."""
    corner = image.getpixel((0, 0))
    if max(corner if isinstance(corner, tuple) else (corner or 0,)) >= DARK:
        return image
    if _extreme_levels(image.resize((DARK_SAMPLE, DARK_SAMPLE), Image.Resampling.NEAREST))[1] >= DARK:
        return image
    lowest, highest = _extreme_levels(image)
    if highest >= DARK or highest == lowest:
        return image
    gain = 255 / (highest - lowest)
    levels = [round(gain * min(max(0, level - lowest), highest - lowest)) for level in range(256)]
    rows = max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        image.paste(image.crop(box).point(levels * len(image.getbands())), box)
    return image


def _extreme_levels(image: Image.Image) -> tuple[int, int]:
    """The lowest and the highest level of all channels."""
    bands: list[Any] = [image.getextrema()] if image.mode == "L" else [*image.getextrema()]
    return min(lowest for lowest, _ in bands), max(highest for _, highest in bands)


def _rows(picture: Picture) -> int:
    """The rows of a band: a multiple of the factor, so that bands are reduced as the whole picture would be."""
    factor = picture.factor
    return max(1, BAND_PIXELS // (picture.size[0] * factor)) * factor


def _assemble(picture: Picture, mode: str) -> Image.Image:
    """The picture in this mode, reduced."""
    if picture.image and picture.factor == 1:
        return picture.image if picture.mode == mode else picture.image.convert(mode)
    width, height = (-(-side // picture.factor) for side in picture.size)
    whole, top = Image.new(mode, (width, height)), 0
    for band in picture.bands(_rows(picture)):
        part = (band if band.mode == mode else band.convert(mode)).reduce(picture.factor)
        whole.paste(part, (0, top))
        top += part.height
    return whole


def _reduced(grey: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(grey).reduce(factor)) if factor > 1 else grey


def _shallow(picture: Picture) -> NDArray[np.uint8]:
    """Deep samples by the smallest usual range that contains them: many of 16 bits have those of 8, 10, 12 or 14.

    By the range from the lowest to the highest, if that is little. Raises `UnsupportedKind` for negative ones and NaN.
    """
    rows = _rows(picture)
    to_uint8 = _scaling([*_extremes(picture, rows)], RANGES_OF_16 if picture.mode.startswith("I;16") else RANGES)
    width, height = picture.size
    grey, top = np.empty((height, width), np.uint8), 0
    for band in picture.bands(rows):
        grey[top : top + band.height] = to_uint8(np.asarray(band))
        top += band.height
    return grey


def _extremes(picture: Picture, rows: int) -> Iterator[tuple[float, float]]:
    """The lowest and the highest sample of each band."""
    for band in picture.bands(rows):
        deep = np.asarray(band)
        yield float(deep.min()), float(deep.max())


def _scaling(
    extremes: list[tuple[float, float]], ranges: Sequence[float]
) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    lowest, highest = np.min(extremes), np.max(extremes)  # NaN if there is one
    if not (np.isfinite(highest) and np.isfinite(lowest)):
        raise UnsupportedKind("some of its samples are infinite or no number (NaN)")
    if lowest < 0:
        raise UnsupportedKind(f"its samples are {lowest:.6g} to {highest:.6g}: 0 to 1, 255 or 65535 is expected")
    full = next((full for full in ranges if highest <= full), float(highest))
    first = 0.0
    if 0 < highest - lowest < LITTLE * full:
        first, full = float(lowest), float(highest - lowest)
    return lambda deep: np.asarray(np.rint((deep - np.float32(first)) * np.float32(255 / full)), np.uint8)


def _flatten_alpha(image: Image.Image) -> Image.Image:
    """RGBA -> RGB: transparent pixels become white behind dark strokes, black behind light ones."""
    alpha = image.getchannel("A")
    strokes = ImageStat.Stat(image.convert("L"), mask=alpha.point(lambda opacity: 255 if opacity >= 128 else 0))
    level = 0 if strokes.count[0] and strokes.mean[0] >= 128 else 255
    flat = Image.new("RGB", image.size, (level, level, level))
    flat.paste(image, mask=alpha)
    return flat
