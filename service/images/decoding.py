"""Image files: bytes to an upright greyscale picture, and an array to a PNG file."""

import contextlib
import io
import warnings
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, Jpeg2KImagePlugin, JpegImagePlugin, WebPImagePlugin

from service.errors import BadRequest
from service.images import heic
from service.images.decoding_memory import decoding_memory, is_run_length_encoded
from service.images.deep_colours import has_deep_colours, scale_deep_colours
from service.images.file_formats import ImageData, extract_image_data
from service.images.greyscale_picture import WORKING_PIXELS, Picture, greyscale, in_colour, in_memory
from service.images.limits import PixelBudget
from service.images.missing_rows import fill_missing_rows
from service.images.orientation import is_turned, read_orientation, upright
from service.images.pillow_decoders import DRAFT_SIZE, decode_icon, decode_webp, reduce_jpeg2000
from service.images.png_bands import can_decode_in_bands, decode_png_bands
from service.images.reading import ImageReader
from service.images.recognised import without_white_space
from service.images.rejected_files import damage_is_a_bad_request

PILLOW_FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "BMP",
    "GIF",
    "TIFF",
    "JPEG2000",
    "PPM",
    "AVIF",
    *(["HEIF"] if heic.IS_INSTALLED else []),
)
FILE_COPIES = 4  # the most that there are: of a WebP file ours, Pillow's, libwebp's, and its metadata
WEIGHTS = {
    "WEBP": 3,
    "JPEG2000": 4,
    "AVIF": 4,
    "HEIF": 4,
}  # a pixel takes so many times as long as one of a PNG or JPEG file
RUN_LENGTH_WEIGHT = 16
COPIES = {
    "WEBP": FILE_COPIES,
    "JPEG": 2,
    "JPEG2000": 2,
    "AVIF": 3,
    "HEIF": 3,
}  # of a file while it is decoded; of others one
NO_END = "the file has no end marker: a part of it may be missing"
COLOUR_BYTES = 6  # of a pixel, beyond what greyscale takes: two copies of three bytes

heic.register_decoders()
Image.MAX_IMAGE_PIXELS = None  # `PixelBudget` is checked before anything is decoded; Pillow would only warn
warnings.filterwarnings("ignore", module="PIL")  # an odd file is the client's concern, and not news for the operator


@dataclass(frozen=True)
class Geometry:
    """Of an image file, upright: its size in pixels, the size at which it was decoded, and its EXIF orientation."""

    width: int
    height: int
    decoded_width: int
    decoded_height: int
    orientation: int


@dataclass(frozen=True)
class DecodedImage:
    """`pixels` are UINT8 [height, width], or in colour [height, width, 3], upright, maybe at a reduced size.

    `width` and `height` are the file's own, upright, in pixels; `orientation` is its EXIF orientation, 1 to 8.
    `warnings` say what of the file is missing, or was passed over.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    orientation: int = 1
    warnings: tuple[str, ...] = ()

    @property
    def geometry(self) -> Geometry:
        """What is known of it without its pixels."""
        height, width = self.pixels.shape[:2]
        return Geometry(self.width, self.height, width, height, self.orientation)


@dataclass(frozen=True)
class EncodedImage:
    """An image file of which the header is read; `memory` is the bytes that decoding it takes at its peak."""

    image: Image.Image
    data: ImageData
    reader: ImageReader
    width: int
    height: int
    memory: int
    in_bands: bool
    warnings: tuple[str, ...] = ()

    def decode(self, *, colour: bool = False) -> DecodedImage:
        """Upright, greyscale or in `colour`, without transparency. Can be done once.

        Raises `BadRequest` for a damaged file.
        """
        with damage_is_a_bad_request(self.data.file), contextlib.closing(self.image):  # Pillow's pixels are freed
            picture = self._picture()
            noted = self.warnings + self._missing(picture)
            pixels = (in_colour if colour else greyscale)(picture)
        orientation = _orientation_of(self.image, self.data)
        width, height = (self.height, self.width) if is_turned(orientation) else (self.width, self.height)
        return DecodedImage(upright(pixels, orientation), width, height, orientation, noted)

    @property
    def memory_in_colour(self) -> int:
        """The bytes that decoding it in colour takes at its peak."""
        return self.memory + COLOUR_BYTES * self.image.width * self.image.height

    def _missing(self, picture: Picture) -> tuple[str, ...]:
        """What is said of a file that has no end, or whose data do not fit; a JPEG file's missing rows are filled."""
        damage = self.reader.scan_damage()
        if not (damage or self.data.lacks_end):
            return ()
        if self.image.format != "JPEG" or not picture.image:
            return (NO_END,)
        missing = fill_missing_rows(picture.image, damage or "it is truncated")
        rows = f": {missing / self.image.height:.1%} of its rows are missing, at the bottom" if missing else ""
        if damage:
            return (f"the file seems damaged, its digit may be another: {damage}{rows}",)
        return (f"the file ends too soon{rows}" if missing else NO_END,)

    def _picture(self) -> Picture:
        if self.in_bands:
            bands = partial(decode_png_bands, self.data.file)
            return Picture(self.image.size, _eight_bit_mode(self.image), self.image.has_transparency_data, bands)
        if self.data.bitmap:
            return in_memory(decode_icon(self.data.bitmap))
        if isinstance(self.image, WebPImagePlugin.WebPImageFile):
            return in_memory(decode_webp(self.image))
        is_deep = has_deep_colours(self.image)
        self.image.load()  # now, before there is memory for anything else
        if is_deep:
            scale_deep_colours(self.image, self.data.file)
        return in_memory(self.image)


def open_image(data: bytes | memoryview, budget: PixelBudget) -> EncodedImage:
    """Read the header of an image file; of several pictures in it the first one, or the largest of an icon.

    Raises `BadRequest` for bytes that are no such file, and what `PixelBudget.spend` raises.
    """
    if not data:
        raise BadRequest("an empty file: it was not written completely, or not read")
    if bare := without_white_space(data):
        return replace(open_image(bare, budget), warnings=("white space before the file's first byte was left out",))
    with damage_is_a_bad_request(data):
        extracted = extract_image_data(data)
        reader = ImageReader(extracted.file)
        image = Image.open(reader, formats=PILLOW_FORMATS)
        width, height = image.size
        budget.spend(width, height, _weight(image))
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            image.draft(None, (DRAFT_SIZE, DRAFT_SIZE))
            image.decodermaxblock = len(extracted.file)  # libjpeg may go over all that it has, each time it gets more
            if extracted.scan_end:
                reader.read_scan(extracted.scan_end)
        if isinstance(image, Jpeg2KImagePlugin.Jpeg2KImageFile) and extracted.codestream:
            reduce_jpeg2000(image, extracted.codestream)
        in_bands = image.format == "PNG" and width * height > WORKING_PIXELS and can_decode_in_bands(extracted.file)
        memory = decoding_memory(image, (width, height), extracted, in_bands=in_bands)
        memory += COPIES.get(image.format or "", 1) * len(data)
        return EncodedImage(image, extracted, reader, width, height, memory, in_bands)


def decode_image(data: bytes | memoryview, budget: PixelBudget) -> DecodedImage:
    """Open and decode an image file; raises what `open_image` and `EncodedImage.decode` raise."""
    return open_image(data, budget).decode()


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """UINT8 [height, width] or [height, width, 3] as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _weight(image: Image.Image) -> int:
    if is_run_length_encoded(image):
        return RUN_LENGTH_WEIGHT
    return WEIGHTS.get(image.format or "", 1)


def _eight_bit_mode(image: Image.Image) -> str:
    return "L" if image.mode == "I;16" else image.mode


def _orientation_of(image: Image.Image, data: ImageData) -> int:
    exif, xmp = (data.exif or image.info.get("exif") or b"", data.xmp or image.info.get("xmp") or b"")
    return read_orientation(exif, xmp)
