"""What is extracted of an image file, and what several formats share."""

from typing import NamedTuple

WHITE_SPACE = b" \t\r\n\f\v"  # that may stand in the text of a file, and around it
RANGES_OF_16 = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))  # many samples of 16 bits have fewer


class UnsupportedKind(ValueError):
    """The file is whole, but of a kind of its format that is not read."""


class Codestream(NamedTuple):
    """The header of a JPEG 2000 file: `box` is left, top, right and bottom, `tile` is width and height, in pixels.

    Width and height can be halved `levels` times; decoding takes `structure` bytes beside its samples.
    """

    box: tuple[int, int, int, int]
    components: int
    depth: int
    tile: tuple[int, int]
    levels: int
    structure: int

    def size(self, halvings: int) -> tuple[int, int]:
        """Width and height in pixels once they are halved so often."""
        left, top, right, bottom = (-(-at >> halvings) for at in self.box)
        return right - left, bottom - top


class ImageData(NamedTuple):
    """`file` has the first picture of a file, and nothing else; `exif` and `xmp` say which side of it is up.

    `exif` is in the form of a TIFF file. Of a JPEG file with several scans a decoder keeps all coefficients in memory.
    `lacks_end`: the marker with which a file of its format ends is missing. `codestream` is that of a JPEG 2000 file,
    `coded_pixel_bytes` what a pixel of an AVIF or HEIC file takes as its decoder has it. Of an icon's
    `bitmap` the `file` is the header alone. `scan_end` is where the data of a JPEG file with one scan should end, in
    bytes; 0 for other files.
    """

    file: bytes
    exif: bytes = b""
    xmp: bytes = b""
    has_several_scans: bool = False
    lacks_end: bool = False
    codestream: Codestream | None = None
    coded_pixel_bytes: float = 0
    bitmap: memoryview | None = None
    scan_end: int = 0
