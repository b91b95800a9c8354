"""Which side of a picture is up: its EXIF or XMP orientation, and turning it that way."""

import re
import struct

import numpy as np
from numpy.typing import NDArray

ORIENTATION = 0x0112
MAX_TAGS = 1000
SHORT, LONG, RATIONAL = 3, 4, 5
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def read_orientation(exif: bytes, xmp: bytes) -> int:
    """1 to 8, as EXIF defines them; 1 (upright) if there is none, or an invalid one. EXIF goes first."""
    found = _from_exif(exif)
    if found is None:
        match = XMP_ORIENTATION.search(xmp)
        found = int(match[1]) if match else 1
    return found if found in range(1, 9) else 1


def is_turned(orientation: int) -> bool:
    """Whether width and height change places."""
    return orientation >= 5


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The picture as a viewer shows it: UINT8 [height, width], or in colour [height, width, 3]."""
    stored = pixels.swapaxes(0, 1) if is_turned(orientation) else pixels
    down, across = (-1 if orientation in flipped else 1 for flipped in ((3, 4, 7, 8), (2, 3, 6, 7)))
    return np.ascontiguousarray(stored[::down, ::across])


def _from_exif(exif: bytes) -> int | None:
    """The value of the tag in the first directory, an integer even if it is stored as a fraction."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is None:
            return None
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for at in range(start + 2, start + 2 + 12 * min(count, MAX_TAGS), 12):
            tag, kind = struct.unpack_from(order + "HH", exif, at)
            if tag == ORIENTATION:
                return _value(exif, order, kind, at + 8)
    except struct.error:  # it ends too soon
        pass
    return None


def _value(exif: bytes, order: str, kind: int, at: int) -> int | None:
    if kind in (SHORT, LONG):
        return int(struct.unpack_from(order + ("H" if kind == SHORT else "I"), exif, at)[0])
    if kind == RATIONAL:
        (offset,) = struct.unpack_from(order + "I", exif, at)
        numerator, denominator = struct.unpack_from(order + "II", exif, offset)
        if denominator and numerator % denominator == 0:
            return int(numerator // denominator)
    return None
