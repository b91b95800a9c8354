"""What decoding needs of an image file, taken out of it before Pillow reads it.

    png, jpeg, gif, tiff, jpeg2000, heif, netpbm, ico   each a function from the bytes of a file to an `ImageData`
    heif_boxes, coded_sizes                             ... what is in an AVIF or HEIC file, and how large

Text, colour profiles, thumbnails, comments and further pictures are left out. Pillow would read them all, in Python,
for seconds if there are millions of them; some it decompresses or copies many times. A WebP file is read by libwebp in
one go, and a BMP file has nothing of the kind: both stay as they are.
"""

import struct
from collections.abc import Callable

from service.images.file_formats.gif import extract_gif
from service.images.file_formats.heif import AVIF_BRANDS, BRANDS, EITHER_BRANDS, HEIC_BRANDS, extract_heif
from service.images.file_formats.ico import expand_bitmap, extract_ico
from service.images.file_formats.image_data import RANGES_OF_16, WHITE_SPACE, Codestream, ImageData, UnsupportedKind
from service.images.file_formats.jpeg import extract_jpeg
from service.images.file_formats.jpeg2000 import extract_jpeg2000
from service.images.file_formats.netpbm import extract_netpbm
from service.images.file_formats.png import extract_png
from service.images.file_formats.tiff import describe_tiff, extract_tiff

__all__ = [
    "AVIF_BRANDS",
    "BRANDS",
    "EITHER_BRANDS",
    "HEIC_BRANDS",
    "RANGES_OF_16",
    "WHITE_SPACE",
    "Codestream",
    "ImageData",
    "UnsupportedKind",
    "describe_tiff",
    "expand_bitmap",
    "extract_image_data",
]

Bytes = bytes | memoryview

EXTRACT: dict[bytes, Callable[[Bytes], ImageData]] = {
    b"\x89PNG\r\n\x1a\n": extract_png,
    b"\xff\xd8\xff": extract_jpeg,
    b"GIF87a": extract_gif,
    b"GIF89a": extract_gif,
    b"II*\0": extract_tiff,
    b"MM\0*": extract_tiff,
    b"II+\0": extract_tiff,
    b"MM\0+": extract_tiff,
    b"\xff\x4f\xff\x51": extract_jpeg2000,
    b"\0\0\0\x0cjP  \r\n\x87\n": extract_jpeg2000,
    b"\0\0\1\0": extract_ico,
    b"\0\0\2\0": extract_ico,
    **{b"P%d" % kind: extract_netpbm for kind in range(1, 7)},
}


def extract_image_data(data: Bytes) -> ImageData:
    """By the file's first bytes. Raises `ValueError` for a damaged file, and returns what is in no such format."""
    extract = next((extract for magic, extract in EXTRACT.items() if data[: len(magic)] == magic), None)
    if data[4:8] == b"ftyp" and bytes(data[8:12]) in BRANDS:
        extract = extract_heif
    if extract is None:
        return ImageData(bytes(data))
    try:
        return extract(data)
    except (IndexError, struct.error):
        raise ValueError("it ends too soon") from None
