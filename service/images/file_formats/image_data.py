"""What is extracted of an image file."""

from typing import NamedTuple


class UnsupportedKind(ValueError):
    """The file is whole, but of a kind of its format that is not read."""


class ImageData(NamedTuple):
    """`file` has the first picture of a file, and nothing else; `exif` and `xmp` say which side of it is up.

    `exif` is in the form of a TIFF file. Of a JPEG file with several scans a decoder keeps all coefficients in memory.
    `lacks_end`: the marker with which a file of its format ends is missing.
    """

    file: bytes
    exif: bytes = b""
    xmp: bytes = b""
    has_several_scans: bool = False
    lacks_end: bool = False
