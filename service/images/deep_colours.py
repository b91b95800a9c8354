"""Colours of 16 bits a sample, of which Pillow keeps the upper 8: many such files have samples of 8, 10, 12 or 14.

Pillow can as well take the lower 8 bits, if it is told that the bytes of a sample are in the other order. So where the
upper bits have little in them, the file is decoded again, and both become the picture.
"""

import io
import re
import sys
from typing import Any

from PIL import Image, ImageChops

from service.images.greyscale_picture import BAND_PIXELS

DEEP = re.compile(r"((?:LA|RGB|RGBA|RGBX|CMYK);16)([BLN])\Z")  # Pillow's name for samples as they are in a file
GREY, AS_COLOURS = "LA;16", "RGBA"  # Pillow has no name for it in the other order, but one for four bytes a pixel
RANGES = ((0, 255), (3, 1023), (15, 4095), (63, 16383))  # the most that the upper byte may be, and the range

SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def has_deep_colours(image: Image.Image) -> bool:
    """Whether a picture that Pillow has opened, and not decoded, has colours of 16 bits a sample."""
    tiles: list[Any] = getattr(image, "tile", [])
    return image.format in ("PNG", "TIFF") and bool(tiles) and DEEP.match(_raw_mode(tiles[0])) is not None


def scale_deep_colours(image: Image.Image, file: bytes) -> None:
    """Scale the samples of a decoded picture, in place, by the smallest usual range that has them all.

    `file` is what it was decoded from.
    """
    ranges = [_range(int(high)) for _, high in _extremes(image)]
    opacity = [ranges.pop()] if image.mode == "RGBA" else []
    colours = None if None in ranges else max(full for full in ranges if full)
    fulls = [colours] * len(ranges) + opacity
    if not any(fulls):
        return
    of_upper = [level for full in fulls for level in _levels(256, full)]
    of_lower = [level for full in fulls for level in _levels(1, full)]
    with Image.open(io.BytesIO(file), formats=(image.format or "",)) as lower:
        is_grey = _raw_mode(lower.tile[0]).startswith(GREY)
        lower.tile = [tile._replace(args=_swapped(tile.args)) for tile in lower.tile]
        lower.load()
        rows = max(1, BAND_PIXELS // image.width)
        for top in range(0, image.height, rows):
            box = (0, top, image.width, min(top + rows, image.height))
            part = lower.crop(box)
            if is_grey:
                part = Image.merge("RGBA", [part.getchannel(channel) for channel in "GGGA"])
            image.paste(ImageChops.add(image.crop(box).point(of_upper), part.point(of_lower)), box)


def _raw_mode(tile: Any) -> str:
    return str(tile.args[0] if isinstance(tile.args, tuple) else tile.args)


def _extremes(image: Image.Image) -> list[tuple[int, int]]:
    return [band.getextrema() for band in image.split()]  # type: ignore[misc]


def _range(highest: int) -> int | None:
    """By the highest of the upper bytes; None where the upper bytes are the picture."""
    return next((full for most, full in RANGES if highest <= most), None)


def _levels(weight: int, full: int | None) -> list[int]:
    """For each byte what it adds to a level of 0 to 255; of samples that use all 16 bits the upper one is all."""
    if full is None:
        return [level if weight > 1 else 0 for level in range(256)]
    return [min(255, round(level * weight * 255 / full)) for level in range(256)]


def _swapped(args: Any) -> Any:
    """The arguments of a decoder that takes the other byte of each sample."""
    raw_mode, *others = args if isinstance(args, tuple) else (args,)
    found = DEEP.match(str(raw_mode))
    swapped = raw_mode
    if found:
        swapped = AS_COLOURS if found[1] == GREY else found[1] + SWAPPED[found[2]]
    return (swapped, *others) if isinstance(args, tuple) else swapped
