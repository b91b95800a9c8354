"""What decoding needs of an image file, taken out of it before Pillow reads it.

    png, jpeg, gif, tiff   each a function from the bytes of a file to an `ImageData`

Text, colour profiles, thumbnails, comments and further pictures are left out. Pillow would read them all, in Python,
for seconds if there are millions of them; some it decompresses or copies many times. A WebP file is read by libwebp in
one go, and a BMP file has nothing of the kind: both stay as they are.
"""

import struct
from collections.abc import Callable

from service.images.file_formats.gif import extract_gif
from service.images.file_formats.image_data import ImageData, UnsupportedKind
from service.images.file_formats.jpeg import extract_jpeg
from service.images.file_formats.png import extract_png
from service.images.file_formats.tiff import describe_tiff, extract_tiff

__all__ = ["ImageData", "UnsupportedKind", "describe_tiff", "extract_image_data"]

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
}


def extract_image_data(data: Bytes) -> ImageData:
    """By the file's first bytes. Raises `ValueError` for a damaged file, and returns what is in no such format."""
    extract = next((extract for magic, extract in EXTRACT.items() if data[: len(magic)] == magic), None)
    if extract is None:
        return ImageData(bytes(data))
    try:
        return extract(data)
    except (IndexError, struct.error):
        raise ValueError("it ends too soon") from None
