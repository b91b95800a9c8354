"""Image files: bytes to an upright greyscale picture, and an array to a PNG file."""

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, ImageStat, UnidentifiedImageError

from service.errors import BadRequest, PayloadTooLarge, RequestError
from service.images.normaliser import to_greyscale

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
DRAFT_SIZE = 640  # pixels of the shorter side: larger JPEGs and transparent images are decoded at a reduced size
EXIF_KEYS = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}  # where Pillow finds the orientation
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
BUDGET_IMAGES = 4  # all images of one request may have this many times the pixels of the largest one allowed

Image.MAX_IMAGE_PIXELS = None  # `PixelBudget` is checked before anything is decoded; Pillow would only warn
warnings.filterwarnings("ignore", module="PIL")  # an odd file is the client's concern, and not news for the operator


@dataclass(frozen=True)
class DecodedImage:
    """`grey` is UINT8 [height, width], upright, maybe at a reduced size.

    `width` and `height` are the file's own, upright, in pixels; `orientation` is its EXIF orientation, 1 to 8.
    """

    grey: NDArray[np.uint8]
    width: int
    height: int
    orientation: int = 1


class PixelBudget:
    """The pixels that one image may have, and those that remain for all images of the request."""

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self.remaining = BUDGET_IMAGES * max_pixels

    def spend(self, image: Image.Image) -> None:
        """Raise `PayloadTooLarge`, before anything is decoded, for an image that is too large, or one too many."""
        pixels = image.width * image.height
        self.remaining -= pixels
        if pixels > self.max_pixels:
            raise PayloadTooLarge(f"{image.width}x{image.height} pixels: at most {self.max_pixels:,} in all")
        if self.remaining < 0:
            total = BUDGET_IMAGES * self.max_pixels
            raise PayloadTooLarge(f"the images of one request have over {total:,} pixels: send fewer")


def decode_image(data: bytes, budget: PixelBudget) -> DecodedImage:
    """Decode an image file: upright, greyscale, without transparency.

    PNG, JPEG, WebP, BMP, GIF (its first frame) and TIFF (its first page), in any of their modes. Raises `BadRequest`
    for bytes that are no such file or are truncated, `PayloadTooLarge` before too many pixels are decoded.
    """
    if not data:
        raise BadRequest("an empty file")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            budget.spend(image)
            width, height = image.size
            image.draft(None, (DRAFT_SIZE, DRAFT_SIZE))  # for JPEGs alone
            orientation = _orientation(image)
            if orientation > 1:
                stored = image.size
                ImageOps.exif_transpose(image, in_place=True)
                if image.size != stored:  # turned by 90 degrees here; Pillow itself turns a TIFF when it opens it
                    width, height = height, width
            return DecodedImage(_grey(image), width, height, orientation)
    except (RequestError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadRequest(f"not an image in a supported format ({', '.join(FORMATS)})") from None
    except Exception as error:  # noqa: BLE001 - damaged files raise nearly anything
        raise BadRequest(f"a damaged image: {error}") from None


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """UINT8 [height, width] as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) if there is none, or an invalid one."""
    if image.format == "PNG":
        image.load()  # its EXIF chunk may follow the pixels
    if not (image.info.keys() & EXIF_KEYS or image.format == "TIFF"):
        return 1
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return int(found) if found in range(1, 9) else 1  # files have 6, 6.0 and 6/1


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in DEEP_MODES:
        return _to_uint8(np.asarray(image))
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        factor = min(rgba.size) // DRAFT_SIZE
        return to_greyscale(_flatten_alpha(rgba.reduce(factor) if factor > 1 else rgba))
    if image.mode in ("1", "L"):
        return np.asarray(image if image.mode == "L" else image.convert("L"))
    return to_greyscale(image.convert("RGB"))


def _to_uint8(deep: NDArray[Any]) -> NDArray[np.uint8]:
    """16-bit samples by their upper byte; 32-bit and float samples by the smallest usual range that contains them."""
    if deep.dtype.kind == "u" and deep.dtype.itemsize == 2:
        return np.asarray(deep >> 8, np.uint8)
    highest = float(deep.max())
    if not (np.isfinite(highest) and deep.min() >= 0):
        raise ValueError("its samples are negative or not finite")
    full = next((full for full in (1.0, 255.0, 65535.0) if highest <= full), highest)
    return np.asarray(np.rint(deep * np.float32(255 / full)), np.uint8)


def _flatten_alpha(image: Image.Image) -> Image.Image:
    """RGBA -> RGB: transparent pixels become white behind dark strokes, black behind light ones."""
    alpha = image.getchannel("A")
    strokes = ImageStat.Stat(image.convert("L"), mask=alpha.point(lambda opacity: 255 if opacity >= 128 else 0))
    level = 0 if strokes.count[0] and strokes.mean[0] >= 128 else 255
    flat = Image.new("RGB", image.size, (level, level, level))
    flat.paste(image, mask=alpha)
    return flat
