"""Netpbm: PBM, PGM and PPM, as text or as bytes, to the forms that Pillow decodes in C (Netpbm's documentation)."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.images.file_formats.image_data import RANGES_OF_16, WHITE_SPACE, ImageData

GAP = rb"(?:[ \t\n\v\f\r]|#[^\r\n]*+[\r\n])++"
HEADER = re.compile(rb"P([1-6])" + GAP + rb"(\d{1,10}+)" + GAP + rb"(\d{1,10}+)")
MAXVAL = re.compile(GAP + rb"(\d{1,5}+)")
COMMENT = re.compile(rb"#[^\r\n]*+")
CHANNELS = {1: 1, 2: 1, 3: 3, 4: 1, 5: 1, 6: 3}  # by the digit of the magic number
BITS_AS_TEXT, BITS_AS_BYTES = 1, 4
TEXT = (1, 2, 3)
INK = bytes.maketrans(b"01", b"\xff\x00")
DEEPEST = 65535
MAX_HEADER_BYTES = 2**16
MAX_COMMENTS = 10_000
AT_ONCE = 2**18  # samples or characters


class Header(NamedTuple):
    """`kind` is the digit of the magic number; `end` is where the samples begin, after one character of white space."""

    kind: int
    width: int
    height: int
    maxval: int
    end: int

    @property
    def samples(self) -> int:
        """How many there are."""
        return self.width * self.height * CHANNELS[self.kind]


def extract_netpbm(data: bytes | memoryview) -> ImageData:
    """The first picture with samples of 0 to 255, as bytes; bits in bytes stay as they are, as does any other text."""
    if data[2] not in WHITE_SPACE + b"#":
        return ImageData(bytes(data))
    header = _parse_header(data)
    view = memoryview(data)[header.end :]
    if header.kind == BITS_AS_BYTES:
        return ImageData(b"P4\n%d %d\n" % (header.width, header.height) + view)
    samples: bytes | memoryview
    if header.kind == BITS_AS_TEXT:
        samples = _bits(view)[: header.samples]
    elif header.kind in TEXT:
        samples = _scaled(_numbers(view, header), header.maxval)
    elif header.maxval == RANGES_OF_16[0]:
        samples = view[: header.samples]
    else:
        samples = _scaled(_stored(view, header), header.maxval)
    if len(samples) < header.samples:
        raise ValueError(f"it is truncated: it has {len(samples):,} of {header.samples:,} samples")
    kind = 6 if CHANNELS[header.kind] == 3 else 5
    return ImageData(b"P%d\n%d %d\n255\n" % (kind, header.width, header.height) + samples)


def _parse_header(data: bytes | memoryview) -> Header:
    beginning = bytes(data[:MAX_HEADER_BYTES])
    found = HEADER.match(beginning)
    if found is None:
        raise ValueError(f"its header has no width and height, or comments of over {MAX_HEADER_BYTES:,} bytes")
    kind, width, height = map(int, found.groups())
    maxval, end = 1, found.end()
    if kind not in (BITS_AS_TEXT, BITS_AS_BYTES):
        most = MAXVAL.match(beginning, end)
        if most is None or not 0 < int(most[1]) <= DEEPEST:
            raise ValueError(f"its header has no largest value of 1 to {DEEPEST}")
        maxval, end = int(most[1]), most.end()
    if not (width and height):
        raise ValueError("it has no pixels")
    return Header(kind, width, height, maxval, end + 1)


def _stored(view: memoryview, header: Header) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The samples as they are: 16 bits, the upper ones first, if they may be over 255."""
    size = 1 + (header.maxval > RANGES_OF_16[0])
    whole = view[: min(len(view) // size, header.samples) * size]
    return np.frombuffer(whole, ">u2" if size == 2 else np.uint8)


def _without_comments(view: memoryview) -> bytes:
    text = bytes(view)
    comments = text.count(b"#")
    if comments > MAX_COMMENTS:
        raise ValueError(f"it has {comments:,} comments: at most {MAX_COMMENTS:,}")
    return COMMENT.sub(b" ", text) if comments else text


def _bits(view: memoryview) -> bytes:
    """The samples of a text of 0 (paper) and 1 (ink), which need nothing between them."""
    digits = _without_comments(view).translate(None, WHITE_SPACE)
    if digits.translate(None, b"01"):
        raise ValueError("it has something else than 0 and 1 among its samples")
    return digits.translate(INK)


def _numbers(view: memoryview, header: Header) -> NDArray[np.uint16]:
    """The samples of a text; raises `ValueError` for what is no number, or over the largest value."""
    text = _without_comments(view)
    numbers, count = np.empty(min(header.samples, len(text) // 2 + 1), np.uint16), 0
    for part in _pieces(text):
        if part.translate(None, b"0123456789" + WHITE_SPACE):
            raise ValueError("it has something else than numbers among its samples")
        found = np.fromstring(part, np.int64, sep=" ") if not part.isspace() else np.empty(0, np.int64)
        if len(found) and found.max() > header.maxval:
            raise ValueError(f"it has samples over its largest value, {header.maxval}")
        found = found[: len(numbers) - count]
        numbers[count : count + len(found)] = found
        count += len(found)
    return numbers[:count]


def _pieces(text: bytes) -> Iterator[bytes]:
    """A text in parts that end with a whole number."""
    start = 0
    while start < len(text):
        end = min(len(text), start + AT_ONCE)
        while end < len(text) and text[end - 1] not in WHITE_SPACE and end - start < 2 * AT_ONCE:
            end += 1
        yield text[start:end]
        start = end


def _scaled(samples: NDArray[np.uint8] | NDArray[np.uint16], maxval: int) -> bytes:
    """Samples of 0 to the largest value as bytes."""
    full = maxval
    if full == DEEPEST and len(samples):
        full = next(one for one in RANGES_OF_16 if samples.max() <= one)
    scaled = np.empty(len(samples), np.uint8)
    for start in range(0, len(samples), AT_ONCE):
        part = np.minimum(samples[start : start + AT_ONCE], full)
        scaled[start : start + AT_ONCE] = np.rint(part * np.float32(255 / full))
    return scaled.tobytes()
