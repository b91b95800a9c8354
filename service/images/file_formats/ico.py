"""ICO and CUR: the largest picture, which is a PNG file, or a bitmap with a mask and becomes a transparent BMP file."""

import struct

import numpy as np
from numpy.typing import NDArray

from service.images.file_formats.image_data import ImageData, UnsupportedKind
from service.images.file_formats.png import SIGNATURE, extract_png

ENTRY, ENTRIES_AT, ENTRY_BYTES = "<BBBBHHII", 6, 16
MAX_ENTRIES = 256  # icons have some ten
MAX_SIDE = 1024  # of a bitmap; the directory knows sides up to 256
BITMAP_HEADER = "<IiiHHI"  # size, width, height (of picture and mask), planes, bits a pixel, compression
DEPTHS = (1, 4, 8, 24, 32)
BGRA_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def extract_ico(data: bytes | memoryview) -> ImageData:
    """The largest picture; of several as large the one with the most colours."""
    (count,) = struct.unpack_from("<H", data, 4)
    if not 0 < count <= MAX_ENTRIES:
        raise ValueError(f"it has {count} pictures: 1 to {MAX_ENTRIES} are expected")
    entries = [struct.unpack_from(ENTRY, data, ENTRIES_AT + ENTRY_BYTES * i) for i in range(count)]
    *_, size, offset = max(entries, key=lambda entry: ((entry[0] or 256) * (entry[1] or 256), entry[5]))
    picture = memoryview(data)[offset : offset + size]
    if picture[: len(SIGNATURE)] == SIGNATURE:
        return extract_png(picture)
    return ImageData(_as_bmp(picture))


def _as_bmp(bitmap: memoryview) -> bytes:
    """A file of 32 bits a pixel, with opacity."""
    size, width, double_height, _, depth, compression = struct.unpack_from(BITMAP_HEADER, bitmap)
    height = double_height // 2
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise UnsupportedKind(f"a bitmap of {width}x{height} pixels: at most {MAX_SIDE} a side")
    if depth not in DEPTHS or compression:
        raise UnsupportedKind(f"a bitmap of {depth} bits a pixel, compression {compression}")
    (colours,) = struct.unpack_from("<I", bitmap, 32)
    palette_size = min(colours or 1 << depth, 1 << depth) if depth <= 8 else 0
    palette = np.frombuffer(bitmap[size : size + 4 * palette_size], np.uint8).reshape(-1, 4)
    at = size + 4 * palette_size
    pixels = _rows(bitmap[at:], width, height, depth)
    at += _row_bytes(width, depth) * height
    bgra = np.empty((height, width, 4), np.uint8)
    bgra[:, :, :3] = palette[pixels][:, :, :3] if depth <= 8 else pixels[:, :, :3]
    has_opacity = depth == 32 and pixels[:, :, 3].any()
    bgra[:, :, 3] = pixels[:, :, 3] if has_opacity else _opacity(bitmap[at:], width, height)
    header = struct.pack("<IiiHHIIiiII4I", 108, width, height, 1, 32, 3, bgra.nbytes, 0, 0, 0, 0, *BGRA_MASKS)
    header += bytes(108 - len(header))
    start = 14 + len(header)
    return struct.pack("<2sIHHI", b"BM", start + bgra.nbytes, 0, 0, start) + header + bgra.tobytes()


def _row_bytes(width: int, depth: int) -> int:
    """Rows are whole words of 32 bits."""
    return -(-width * depth // 32) * 4


def _rows(stored: memoryview, width: int, height: int, depth: int) -> NDArray[np.uint8]:
    """Indices of colours [height, width], or channels [height, width, 3 or 4], from the lowest row to the highest."""
    row_bytes = _row_bytes(width, depth)
    if len(stored) < row_bytes * height:
        raise ValueError("it is truncated")
    rows = np.frombuffer(stored[: row_bytes * height], np.uint8).reshape(height, row_bytes)
    if depth > 8:
        return rows[:, : width * depth // 8].reshape(height, width, depth // 8)
    bits = np.unpackbits(rows, axis=1).reshape(height, -1, depth)
    weights = 1 << np.arange(depth - 1, -1, -1)
    return (bits @ weights).astype(np.uint8)[:, :width]


def _opacity(mask: memoryview, width: int, height: int) -> NDArray[np.uint8]:
    """Of each pixel, from the mask that may follow a bitmap, in which 1 is transparent."""
    if len(mask) < _row_bytes(width, 1) * height:
        return np.full((height, width), 255, np.uint8)
    return (1 - _rows(mask, width, height, 1)) * np.uint8(255)
