"""What is extracted of an image file."""

from typing import NamedTuple


class ImageData(NamedTuple):
    """`file` has the first picture of a file, and nothing else; `exif` and `xmp` say which side of it is up.

    `exif` is in the form of a TIFF file. Of a JPEG file with several scans a decoder keeps all coefficients in memory.
    """

    file: bytes
    exif: bytes = b""
    xmp: bytes = b""
    has_several_scans: bool = False
