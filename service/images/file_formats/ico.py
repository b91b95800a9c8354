"""ICO and CUR: the largest picture, which is a PNG file, or a bitmap with a mask."""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.images.file_formats.image_data import ImageData, UnsupportedKind
from service.images.file_formats.png import SIGNATURE, extract_png

ENTRY, ENTRIES_AT, ENTRY_BYTES = "<BBBBHHII", 6, 16
MAX_ENTRIES = 256  # icons have some ten
MAX_SIDE = 1024  # of a bitmap; the directory knows sides up to 256
BITMAP_HEADER = "<IiiHHI"  # size, width, height (of picture and mask), planes, bits a pixel, compression
DEPTHS = (1, 4, 8, 24, 32)
BMP_HEADER_BYTES = 108
BGRA_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


class Layout(NamedTuple):
    """Of a bitmap: its size in pixels, the bits of one, and where in its bytes what begins."""

    width: int
    height: int
    depth: int
    palette_at: int
    pixels_at: int
    mask_at: int


def extract_ico(data: bytes | memoryview) -> ImageData:
    """The largest picture; of several as large the one with the most colours.

    A bitmap stays as it is until it is decoded: it may take 32 times as much in colour, and with opacity.
    """
    (count,) = struct.unpack_from("<H", data, 4)
    if not 0 < count <= MAX_ENTRIES:
        raise ValueError(f"it has {count} pictures: 1 to {MAX_ENTRIES} are expected")
    entries = [struct.unpack_from(ENTRY, data, ENTRIES_AT + ENTRY_BYTES * i) for i in range(count)]
    *_, size, offset = max(entries, key=lambda entry: ((entry[0] or 256) * (entry[1] or 256), entry[5]))
    picture = memoryview(data)[offset : offset + size]
    if picture[: len(SIGNATURE)] == SIGNATURE:
        return extract_png(picture)
    layout = _layout(picture)
    if len(picture) < layout.mask_at:
        raise ValueError("it is truncated")
    return ImageData(_bmp_header(layout.width, layout.height), bitmap=picture)


def expand_bitmap(bitmap: memoryview) -> NDArray[np.uint8]:
    """UINT8 [height, width, 4], blue, green, red and opacity, from the lowest row to the highest.

    Raises `ValueError` for a colour that is not in its palette.
    """
    layout = _layout(bitmap)
    size = (layout.width, layout.height)
    pixels = _rows(bitmap[layout.pixels_at :], *size, layout.depth)
    if layout.depth <= 8:
        palette = np.frombuffer(bitmap[layout.palette_at : layout.pixels_at], np.uint8).reshape(-1, 4)
        if pixels.max() >= len(palette):
            raise ValueError(f"it has a colour that is not among the {len(palette)} of its palette")
        bgra = palette[pixels]
    else:
        bgra = np.empty((layout.height, layout.width, 4), np.uint8)
        bgra[:, :, : pixels.shape[2]] = pixels
    if layout.depth < 32 or not bgra[:, :, 3].any():
        bgra[:, :, 3] = _opacity(bitmap[layout.mask_at :], *size)
    return bgra


def _layout(bitmap: memoryview) -> Layout:
    size, width, double_height, _, depth, compression = struct.unpack_from(BITMAP_HEADER, bitmap)
    height = double_height // 2
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise UnsupportedKind(f"a bitmap of {width}x{height} pixels: at most {MAX_SIDE} a side")
    if depth not in DEPTHS or compression:
        raise UnsupportedKind(f"a bitmap of {depth} bits a pixel, compression {compression}")
    (colours,) = struct.unpack_from("<I", bitmap, 32)
    palette_size = min(colours or 1 << depth, 1 << depth) if depth <= 8 else 0
    pixels_at = size + 4 * palette_size
    return Layout(width, height, depth, size, pixels_at, pixels_at + _row_bytes(width, depth) * height)


def _bmp_header(width: int, height: int) -> bytes:
    """The beginning of a BMP file of 32 bits a pixel, with opacity."""
    size = 4 * width * height
    header = struct.pack("<IiiHHIIiiII4I", BMP_HEADER_BYTES, width, height, 1, 32, 3, size, 0, 0, 0, 0, *BGRA_MASKS)
    start = 14 + BMP_HEADER_BYTES
    return struct.pack("<2sIHHI", b"BM", start + size, 0, 0, start) + header.ljust(BMP_HEADER_BYTES, b"\0")


def _row_bytes(width: int, depth: int) -> int:
    """Rows are whole words of 32 bits."""
    return -(-width * depth // 32) * 4


def _rows(stored: memoryview, width: int, height: int, depth: int) -> NDArray[np.uint8]:
    """Indices of colours [height, width], or channels [height, width, 3 or 4], from the lowest row to the highest."""
    row_bytes = _row_bytes(width, depth)
    rows = np.frombuffer(stored[: row_bytes * height], np.uint8).reshape(height, row_bytes)
    if depth > 8:
        return rows[:, : width * depth // 8].reshape(height, width, depth // 8)
    if depth == 4:
        rows = np.stack((rows >> 4, rows & 15), axis=2).reshape(height, -1)
    return rows[:, :width] if depth > 1 else np.unpackbits(rows, axis=1, count=width)


def _opacity(mask: memoryview, width: int, height: int) -> NDArray[np.uint8]:
    """Of each pixel, from the mask that may follow a bitmap, in which 1 is transparent."""
    if len(mask) < _row_bytes(width, 1) * height:
        return np.full((height, width), 255, np.uint8)
    return (1 - _rows(mask, width, height, 1)) * np.uint8(255)
