"""A large PNG file, decoded a band of rows at a time, so that it is never in memory as a whole.

A PNG file is one zlib stream of rows, and each row is stored as its difference from the row above. So a band of rows
becomes a PNG file of its own if the last row of the band before is put above it, undone. Pillow decodes that file.
"""

import io
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from service.images.file_formats.png import Chunk, Header, parse_header, read_chunks, write_png

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
COLOURS = (b"PLTE", b"tRNS")
INPUT_BYTES = 2**16  # at a time: zlib copies what it has not used
UNFILTERED = b"\0"  # a row that starts with it is stored as it is


def can_decode_in_bands(file: bytes) -> bool:
    """Whether each row follows the one above, in whole bytes."""
    header = _header_of(file)
    return not header.interlace and header.depth >= 8


def decode_png_bands(file: bytes, rows: int) -> Iterator[Image.Image]:
    """The picture from top to bottom, `rows` rows at a time; of 16 bits a sample, the upper 8.

    `file` is one that `extract_png` has made. Raises `ValueError` if it ends too soon.
    """
    header = _header_of(file)
    chunks = dict(read_chunks(memoryview(file)))
    pixels = chunks[b"IDAT"]
    colours: list[Chunk] = [(kind, [chunks[kind]]) for kind in COLOURS if kind in chunks and header.depth == 8]
    row_bytes = 1 + header.width * CHANNELS[header.colour_type] * header.depth // 8
    stream = _Inflate(pixels)
    above = b""
    for top in range(0, header.height, rows):
        height = min(rows, header.height - top)
        lines = stream.read(height * row_bytes)
        if header.depth == 16:
            lines = _upper_bytes(lines, row_bytes)
        band = _decode(header._replace(height=height + bool(above), depth=8), colours, above + lines)
        yield band.crop((0, 1, *band.size)) if above else band
        above = UNFILTERED + band.crop((0, band.height - 1, *band.size)).tobytes()


def _header_of(file: bytes) -> Header:
    return parse_header(file[16:29])


def _decode(header: Header, colours: list[Chunk], lines: bytes) -> Image.Image:
    stored = zlib.compress(lines, 0)
    file = write_png([(b"IHDR", [header.encode()]), *colours, (b"IDAT", [stored]), (b"IEND", [])])
    with Image.open(io.BytesIO(file), formats=("PNG",)) as band:
        band.load()
        return band


def _upper_bytes(lines: bytes, row_bytes: int) -> bytes:
    """Rows of 16-bit samples as rows of 8-bit samples: the filters treat the two bytes of a sample separately."""
    rows = np.frombuffer(lines, np.uint8).reshape(-1, row_bytes)
    return np.concatenate([rows[:, :1], rows[:, 1::2]], axis=1).tobytes()


class _Inflate:
    """A zlib stream, read in steps."""

    def __init__(self, compressed: memoryview) -> None:
        self._rest = compressed
        self._window: memoryview | bytes = b""
        self._inflate = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        """Exactly so many of the plain bytes; raises `ValueError` if there are fewer."""
        parts, missing = [], size
        while missing:
            part = self._inflate.decompress(self._window, missing)
            self._window = self._inflate.unconsumed_tail
            if not part and not self._window:
                if self._inflate.eof or not self._rest:
                    raise ValueError("it is truncated")
                self._window, self._rest = self._rest[:INPUT_BYTES], self._rest[INPUT_BYTES:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)
