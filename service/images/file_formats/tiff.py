"""TIFF: the tags that decoding the first page of a file needs (TIFF 6.0, and BigTIFF)."""

import struct
from typing import NamedTuple

from service.images.file_formats.image_data import ImageData

# Width, length, bits, compression, photometric, fill order, strips, samples, planes, T.4 and T.6 options, predictor,
# white point and primaries, palette, tiles, ink set, extra samples, sample format, JPEG tables, YCbCr, reference black.
NEEDED = {
    256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 318, 319, 320, 322, 323, 324, 325, 332,
    338, 339, 347, 529, 530, 531, 532,
}  # fmt: skip
ORIENTATION = 274
SHORT = 3
# None, CCITT's four, LZW, JPEG, deflate (two numbers), PackBits. Others take as much memory as the file says.
COMPRESSION, COMPRESSIONS = 259, (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 32771)
MAX_TAGS = 1000  # cameras and scanners write some fifty
MAX_VALUES = 2**16  # of one tag: strips and tiles have the most
JPEG_TABLES = 347


class Layout(NamedTuple):
    """How a directory is written: byte order, and the sizes of its numbers."""

    order: str
    length: str
    entry: str
    offset: str


CLASSIC, BIG = ("H", "HHI4s", "I"), ("Q", "HHQ8s", "Q")


def extract_tiff(data: bytes | memoryview) -> ImageData:
    """The first page with the tags that decoding needs; its orientation as that of any other file."""
    layout = Layout("<" if data[0] == ord("I") else ">", *(BIG if 43 in (data[2], data[3]) else CLASSIC))
    start = _first_directory(data, layout)
    entries, orientation = _needed_entries(data, layout, start)
    count = struct.pack(layout.order + layout.length, len(entries))
    # The same place is large enough. No further directory follows.
    directory = count + b"".join(entries) + bytes(struct.calcsize(layout.order + layout.offset))
    view = memoryview(data)
    file = b"".join([view[:start], directory, view[start + len(directory) :]])
    return ImageData(file, _orientation_as_exif(orientation))


def _first_directory(data: bytes | memoryview, layout: Layout) -> int:
    (start,) = struct.unpack_from(layout.order + layout.offset, data, 8 if layout.offset == "Q" else 4)
    return int(start)


def _needed_entries(data: bytes | memoryview, layout: Layout, start: int) -> tuple[list[bytes], int]:
    """The entries of a directory that decoding needs, and the value of its orientation."""
    size = struct.calcsize(layout.order + layout.entry)
    (count,) = struct.unpack_from(layout.order + layout.length, data, start)
    if count > MAX_TAGS:
        raise ValueError(f"it has {count} tags: at most {MAX_TAGS:,}")
    first = start + struct.calcsize(layout.order + layout.length)
    entries, orientation = [], 1
    for at in range(first, first + count * size, size):
        tag, kind, values, value = struct.unpack_from(layout.order + layout.entry, data, at)
        if tag in NEEDED:
            _check(tag, values, struct.unpack_from(layout.order + "H", value)[0])
            entries.append(bytes(data[at : at + size]))
        elif tag == ORIENTATION and kind == SHORT:
            (orientation,) = struct.unpack_from(layout.order + "H", value)
    return entries, orientation


def _check(tag: int, values: int, first: int) -> None:
    if values > MAX_VALUES and tag != JPEG_TABLES:
        raise ValueError(f"its tag {tag} has {values} values: at most {MAX_VALUES:,}")
    if tag == COMPRESSION and first not in COMPRESSIONS:
        raise ValueError(f"its compression {first} is not supported: use LZW, deflate, JPEG, CCITT, PackBits or none")


def _orientation_as_exif(orientation: int) -> bytes:
    return struct.pack("<4sIHHHIHHI", b"II*\0", 8, 1, ORIENTATION, SHORT, 1, orientation, 0, 0)
