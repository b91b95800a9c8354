"""TIFF: the tags that decoding the first page of a file needs (TIFF 6.0, and BigTIFF)."""

import struct
from typing import NamedTuple

from service.images.file_formats.image_data import ImageData, UnsupportedKind

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
BITS, PHOTOMETRIC, SAMPLES_PER_PIXEL, PLANES, SAMPLE_FORMAT = 258, 262, 277, 284, 339
SAMPLE_FORMATS = {1: "", 2: " signed", 3: " float", 5: " complex", 6: " complex"}
SEPARATE = 2  # planes, one for each channel


class Layout(NamedTuple):
    """How a directory is written: byte order, and the sizes of its numbers."""

    order: str
    length: str
    entry: str
    offset: str


CLASSIC, BIG = ("H", "HHI4s", "I"), ("Q", "HHQ8s", "Q")


def extract_tiff(data: bytes | memoryview) -> ImageData:
    """The first page with the tags that decoding needs; its orientation as that of any other file."""
    layout = _layout(data)
    start = _first_directory(data, layout)
    entries, orientation = _needed_entries(data, layout, start)
    _check_planes(data, layout, entries)
    count = struct.pack(layout.order + layout.length, len(entries))
    # The same place is large enough. No further directory follows.
    directory = count + b"".join(entries) + bytes(struct.calcsize(layout.order + layout.offset))
    view = memoryview(data)
    file = b"".join([view[:start], directory, view[start + len(directory) :]])
    return ImageData(file, _orientation_as_exif(orientation))


def _layout(data: bytes | memoryview) -> Layout:
    return Layout("<" if data[0] == ord("I") else ">", *(BIG if 43 in (data[2], data[3]) else CLASSIC))


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
        raise UnsupportedKind(f"compression {first}; LZW, deflate, JPEG, CCITT, PackBits or none are read")


def describe_tiff(data: bytes | memoryview) -> str:
    """The bits of a pixel, and what else decides whether it can be read: for the message if it cannot."""
    try:
        layout = _layout(data)
        values = _first_values(data, layout, _needed_entries(data, layout, _first_directory(data, layout))[0])
    except (ValueError, IndexError, struct.error):
        return ""
    sample = f"{values.get(BITS, 1)}-bit{SAMPLE_FORMATS.get(values.get(SAMPLE_FORMAT, 1), '')} samples"
    colours = f"{values.get(SAMPLES_PER_PIXEL, 1)} a pixel, photometric interpretation {values.get(PHOTOMETRIC, 0)}"
    return f"{sample}, {colours}, compression {values.get(COMPRESSION, 1)}"


def _first_values(data: bytes | memoryview, layout: Layout, entries: list[bytes]) -> dict[int, int]:
    """The first value of each tag that has 16-bit numbers."""
    found = {}
    for entry in entries:
        tag, kind, values, value = struct.unpack(layout.order + layout.entry, entry)
        if kind == SHORT:
            at = struct.unpack(layout.order + layout.offset, value)[0] if 2 * values > len(value) else None
            (found[tag],) = struct.unpack_from(layout.order + "H", value if at is None else data, at or 0)
    return found


def _check_planes(data: bytes | memoryview, layout: Layout, entries: list[bytes]) -> None:
    """Pillow reads planes of 16 bits a sample as planes of 8."""
    values = _first_values(data, layout, entries)
    if values.get(PLANES) == SEPARATE and values.get(SAMPLES_PER_PIXEL, 1) > 1 and values.get(BITS, 1) > 8:
        raise UnsupportedKind(f"channels of {values[BITS]} bits in separate planes")


def _orientation_as_exif(orientation: int) -> bytes:
    return struct.pack("<4sIHHHIHHI", b"II*\0", 8, 1, ORIENTATION, SHORT, 1, orientation, 0, 0)
