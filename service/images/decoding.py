"""Pictures of digits -> `image` UINT8 [n, 28, 28].

Encoded images (files, raw bodies, base64) go through the ink normaliser; 28x28 arrays are the network's own
input already and never do.
"""

import io
import threading
import warnings
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, ImageStat, UnidentifiedImageError

from service.bundle.manifest import IMAGE_SHAPE
from service.errors import BadRequest, PayloadTooLarge, RequestError
from service.images import normaliser as digits
from service.protocols.parsing import FORM, IMAGE, JSON, Body, decode_json
from service.settings import Settings

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
LARGE = 640  # pixels of the shorter side: a larger JPEG is decoded at a part of its size, transparency at a reduced one
TURNED = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}  # where Pillow looks for the orientation
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")

Image.MAX_IMAGE_PIXELS = None  # the limit is ours, checked before anything is decoded; Pillow's would only warn
warnings.filterwarnings("ignore", module="PIL")  # a client's odd file is answered, and is no news for the operator

Pixel = Annotated[int, msgspec.Meta(ge=0, le=255)]


class Encoded(msgspec.Struct, forbid_unknown_fields=True):
    """`{"b64": "<an image file>"}`, in standard base64."""

    b64: bytes


class ImageInstances(msgspec.Struct):
    """The V1 request of an image model: 28x28 arrays (0 = paper, 255 = ink), or image files in base64."""

    instances: list[list[list[Pixel]] | Encoded]
    signature_name: str | None = None


FILES = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string", "format": "binary"}}}
MEDIA_TYPES: dict[str, Any] = {JSON: ImageInstances, FORM: FILES, IMAGE: None}  # and what each holds
DECODER = msgspec.json.Decoder(ImageInstances)
DECODING = threading.BoundedSemaphore(2)  # pictures at a time in one process: a large one takes hundreds of megabytes


@dataclass(frozen=True)
class Picture:
    """A decoded file: UINT8 [height, width], upright; the file's own size in pixels, and what its EXIF turned it by."""

    grey: NDArray[np.uint8]
    width: int
    height: int
    orientation: int = 1


@dataclass(frozen=True)
class Seen:
    """What the network gets to see of one picture, and how it came to be; arrays of a client are seen as they are."""

    image: NDArray[np.uint8]
    picture: Picture | None = None
    ink: digits.Ink | None = None


def decode(body: Body, settings: Settings) -> list[Seen]:
    """All pictures of a body, in order. Raises `RequestError` naming the one that cannot be."""
    if body.media_type == JSON:
        instances = decode_json(body.data, DECODER, 40 * settings.max_rows).instances
        _limit(len(instances), settings.max_rows, "instances")
        sources = [(f"instances[{i}]", instance) for i, instance in enumerate(instances)]
    elif body.media_type == FORM:
        _limit(len(body.files), settings.max_files, "files")
        sources = [(f"file {i + 1} ({file.name})", Encoded(file.data)) for i, file in enumerate(body.files)]
    else:
        sources = [("the body", Encoded(body.data))]
    budget = Budget(settings.max_image_pixels)
    return [_seen(source, where, budget) for where, source in sources]


def _limit(count: int, most: int, what: str) -> None:
    if count > most:
        raise PayloadTooLarge(f"{count} {what} in one request: at most {most}")
    if not count:
        raise BadRequest(f"no {what}: send at least one")


def _seen(source: list[list[int]] | Encoded, where: str, budget: "Budget") -> Seen:
    if isinstance(source, Encoded):
        try:
            with DECODING:
                picture = decode_image(source.b64, budget)
                ink = digits.read(picture.grey)
                return Seen(ink.image, picture, ink)
        except RequestError as error:
            raise type(error)(f"{where}: {error}") from None
    height, width = IMAGE_SHAPE
    if len(source) != height or any(len(row) != width for row in source):
        widths = sorted({len(row) for row in source})[:3]
        raise BadRequest(f"{where}: {len(source)} rows of {widths} numbers, expected {height} rows of {width}")
    return Seen(np.array(source, np.uint8))


class Budget:
    """The pixels that one image may have, and how many are left to all images of the request: four times that."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.left = 4 * most

    def spend(self, image: Image.Image) -> None:
        """Raise `PayloadTooLarge`, before anything is decoded, for an image that is too large or one too many."""
        pixels = image.width * image.height
        self.left -= pixels
        if pixels > self.most:
            raise PayloadTooLarge(f"{image.width}x{image.height} pixels: at most {self.most:,} in all")
        if self.left < 0:
            raise PayloadTooLarge(f"the pictures of one request have over {4 * self.most:,} pixels: send fewer")


def decode_image(data: bytes, budget: Budget) -> Picture:
    """The bytes of an image file -> a picture, upright, greyscale, flattened on paper.

    PNG, JPEG, WebP, BMP, GIF (its first frame) and TIFF (its first page), in any mode of theirs. Raises
    `BadRequest` for bytes that are no such file or end too soon, `PayloadTooLarge` before decoding too many pixels.
    """
    if not data:
        raise BadRequest("an empty file")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            budget.spend(image)
            width, height = image.size
            image.draft(None, (LARGE, LARGE))  # a large JPEG is decoded at a part of its size
            orientation = _orientation(image)
            if orientation > 1:
                stored = image.size
                ImageOps.exif_transpose(image, in_place=True)
                if image.size != stored:  # it lay on its side, and Pillow had not yet turned it, as it does a TIFF
                    width, height = height, width
            return Picture(_grey(image), width, height, orientation)
    except (RequestError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadRequest(f"not an image of a format that is read here ({', '.join(FORMATS)})") from None
    except Exception as error:  # noqa: BLE001 - a damaged file raises nearly anything; whatever it is, it is the file
        raise BadRequest(f"a damaged image: {error}") from None


def _orientation(image: Image.Image) -> int:
    """As EXIF numbers them, 1 to 8; 1 is upright, and what everything counts as that says nothing sensible."""
    if image.format == "PNG":
        image.load()  # its EXIF may stand behind its pixels
    if not (image.info.keys() & TURNED or image.format == "TIFF"):
        return 1
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return int(found) if found in range(1, 9) else 1  # files say 6, 6.0 and 6/1


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in DEEP_MODES:
        return _eight_bits(np.asarray(image))
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        factor = min(rgba.size) // LARGE
        return digits.greyed(_on_paper(rgba.reduce(factor) if factor > 1 else rgba))
    if image.mode in ("1", "L"):
        return np.asarray(image if image.mode == "L" else image.convert("L"))
    return digits.greyed(image.convert("RGB"))


def _eight_bits(deep: NDArray[Any]) -> NDArray[np.uint8]:
    """16-bit samples by their upper half; 32-bit and float ones by the smallest usual range that holds them."""
    if deep.dtype.kind == "u" and deep.dtype.itemsize == 2:
        return np.asarray(deep >> 8, np.uint8)
    highest = float(deep.max())
    if not (np.isfinite(highest) and deep.min() >= 0):
        raise ValueError("its samples are negative or not finite")
    full = next((full for full in (1.0, 255.0, 65535.0) if highest <= full), highest)
    return np.asarray(np.rint(deep * np.float32(255 / full)), np.uint8)


def _on_paper(image: Image.Image) -> Image.Image:
    """RGBA -> RGB: what is transparent becomes paper, white behind dark strokes, black behind light ones."""
    alpha = image.getchannel("A")
    strokes = ImageStat.Stat(image.convert("L"), mask=alpha.point(lambda opacity: 255 if opacity >= 128 else 0))
    level = 0 if strokes.count[0] and strokes.mean[0] >= 128 else 255
    paper = Image.new("RGB", image.size, (level, level, level))
    paper.paste(image, mask=alpha)
    return paper
