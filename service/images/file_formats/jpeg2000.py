"""JPEG 2000: the codestream, alone (J2K) or in boxes (JP2), and what decoding it takes (ITU-T T.800, annexes A, I)."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from service.images.file_formats.image_data import Codestream, ImageData, UnsupportedKind

SIGNATURE = b"\xff\x4f\xff\x51"
BOXES = b"\0\0\0\x0cjP  \r\n\x87\n"
KEPT = (b"ftyp", b"jp2h")  # and the first codestream
MAX_HEADER_BYTES = 2**16  # of JP2; palettes have up to 1024 colours
MAX_BOXES = 1000
MAX_COMPONENTS = 4
MAX_MARKERS = 20_000  # of all headers; a picture of a thousand tiles has a few thousand
MAX_PACKETS = 2**20
SIZ, COD, COC, SOT, SOD, END = 0x51, 0x52, 0x53, 0x90, 0x93, 0xD9
# Progressions that change, headers of packets in one place, and arithmetic of part 2: each multiplies time or memory.
UNREAD = {0x5F: "POC", 0x60: "PPM", 0x61: "PPT", 0x74: "MCT", 0x75: "MCC", 0x77: "MCO", 0x78: "CBD"}
TILE_BYTES, BLOCK_BYTES = 2**14, 600  # what OpenJPEG keeps for each tile, and for each block of coefficients of a tile
SEGMENT_BYTES = 64 * 164  # ... and for its segments, where each pass over its bits may be one
CHUNK_BYTES = 32  # ... and for what a layer has of it
BYPASS_OR_TERMINATION = 0b101  # in the style of blocks
SIGNED, EIGHT_BITS = 0x80, 7  # in the byte that has the depth of a component, less one
ALL_15 = 15  # the size of precincts, as a power of two, if none is written


class Size(NamedTuple):
    """The content of SIZ up to the components: ends and beginnings of the picture and of the first tile."""

    capabilities: int
    right: int
    bottom: int
    left: int
    top: int
    tile_width: int
    tile_height: int
    tile_left: int
    tile_top: int
    components: int

    @property
    def tiles(self) -> int:
        """How many there are."""
        across = -(-(self.right - self.tile_left) // self.tile_width)
        return across * -(-(self.bottom - self.tile_top) // self.tile_height)


class Coding(NamedTuple):
    """How components are coded: layers, resolutions, and sizes of blocks and precincts as powers of two."""

    layers: int
    levels: int
    block_width: int
    block_height: int
    style: int
    precincts: bytes  # a byte for each resolution, or none


def extract_jpeg2000(data: bytes | memoryview) -> ImageData:
    """The codestream, in its boxes if it has some, and what decoding it takes beside its samples."""
    view = memoryview(data)
    if view[:4] == SIGNATURE:
        return ImageData(bytes(view), codestream=_read(view))
    kept: list[bytes | memoryview] = [BOXES]
    for kind, content in _boxes(view[len(BOXES) :]):
        if kind in KEPT:
            if len(content) > MAX_HEADER_BYTES:
                raise ValueError(f"its header has {len(content):,} bytes: at most {MAX_HEADER_BYTES:,}")
            kept += [struct.pack(">I4s", 8 + len(content), kind), content]
        elif kind == b"jp2c":
            kept += [struct.pack(">I4s", 8 + len(content), kind), content]
            return ImageData(b"".join(kept), codestream=_read(content))
    raise ValueError("it has no codestream")


def _boxes(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    for _ in range(MAX_BOXES):
        if at >= len(view):
            return
        length, kind = struct.unpack_from(">I4s", view, at)
        header = 8
        if length == 1:
            (length,), header = struct.unpack_from(">Q", view, at + 8), 16
        end = at + length if length else len(view)
        if end < at + header:
            raise ValueError("it has a box that is shorter than its header")
        yield kind, view[at + header : end]
        at = end
    raise ValueError(f"it has over {MAX_BOXES:,} boxes")


def _read(codestream: memoryview) -> Codestream:
    size: Size | None = None
    depth, codings = 8, []
    for marker, content in _segments(codestream):
        if marker in UNREAD:
            raise UnsupportedKind(f"a codestream with {UNREAD[marker]}")
        if marker == SIZ:
            size = Size(*struct.unpack_from(">HIIIIIIIIH", content))
            _check_size(size)
            depth = _depth([content[36 + 3 * i] for i in range(size.components)])
        elif marker == COD:
            codings.append(_coding(content[1:]))
        elif marker == COC:  # the layers are those of COD
            codings.append(_coding(b"\0\0\1\0" + content[2:]))
    if size is None or not codings:
        raise ValueError("its header is not complete")
    return _codestream(size, depth, codings)


def _segments(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Marker and content of each segment of the main header and of the headers of all parts of tiles."""
    at, part_end = 2, 0
    for _ in range(MAX_MARKERS):
        if at + 4 > len(view) or view[at + 1] == END:
            return
        marker, length = view[at + 1], int.from_bytes(view[at + 2 : at + 4])
        if view[at] != 0xFF:
            raise ValueError("it has something else than a marker in a header")
        if marker == SOT:
            part_bytes = int.from_bytes(view[at + 6 : at + 10])
            part_end = at + part_bytes if part_bytes else len(view)
        if marker == SOD:
            if part_end <= at:
                raise ValueError("it has a part of a tile that ends before it begins")
            at = part_end
            continue
        yield marker, view[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)
    raise ValueError(f"it has over {MAX_MARKERS:,} segments")


def _coding(content: bytes | memoryview) -> Coding:
    """From the content of COD behind its style: progression, layers, transformation; resolutions, blocks, precincts."""
    _, layers, _, levels, width, height, style, _ = struct.unpack_from(">BHBBBBBB", content)
    return Coding(layers, levels, 2 + width, 2 + height, style, bytes(content[9:]))


def _check_size(size: Size) -> None:
    if not 0 < size.components <= MAX_COMPONENTS:
        raise UnsupportedKind(f"{size.components} components: 1 to {MAX_COMPONENTS} are read")
    has_pixels = size.right > size.left and size.bottom > size.top and size.tile_width and size.tile_height
    if not (has_pixels and size.tile_left < size.right and size.tile_top < size.bottom):
        raise ValueError("it has no pixels")


def _depth(depths: list[int]) -> int:
    """The bits of a sample, from a byte for each component."""
    if max(depths) & SIGNED:
        raise UnsupportedKind("signed samples")
    if len(depths) > 1 and max(depths) >= EIGHT_BITS + 1:  # Pillow wraps the lightest of them round to black
        raise UnsupportedKind(f"colours of {1 + max(depths)} bits")
    return 1 + max(depths)


def _codestream(size: Size, depth: int, codings: list[Coding]) -> Codestream:
    width, height = size.right - size.left, size.bottom - size.top
    tile = (min(size.tile_width, width), min(size.tile_height, height))
    layers = max(1, *(coding.layers for coding in codings))
    blocks = size.components * max(_count(coding, tile, blocks=True) for coding in codings)
    packets = size.components * layers * max(_count(coding, tile, blocks=False) for coding in codings)
    if packets * size.tiles > MAX_PACKETS:
        raise UnsupportedKind(f"{packets * size.tiles:,} packets: at most {MAX_PACKETS:,}")
    # Pillow cannot place the reduced tiles of a picture that begins elsewhere than at 0.
    levels = 0 if size.left or size.top else min(32, *(coding.levels for coding in codings))
    # OpenJPEG has a number of 2 bytes for each packet of a tile, in a table with room for the most resolutions.
    table = 2 * 33 * (packets + packets // layers)
    has_segments = any(coding.style & BYPASS_OR_TERMINATION for coding in codings)
    block_bytes = BLOCK_BYTES + layers * CHUNK_BYTES + has_segments * SEGMENT_BYTES
    structure = size.tiles * TILE_BYTES + blocks * block_bytes + table
    box = (size.left, size.top, size.right, size.bottom)
    return Codestream(box, size.components, depth, tile, levels, structure)


def _count(coding: Coding, tile: tuple[int, int], *, blocks: bool) -> int:
    """At most so many blocks of coefficients, or precincts, has a component of a tile."""
    total = 0
    for resolution in range(min(coding.levels, 32) + 1):
        written = coding.precincts[resolution] if resolution < len(coding.precincts) else ALL_15 * 17
        sizes = (written & 15, written >> 4)
        level = coding.levels - resolution
        if blocks:  # a precinct has a half of its size in each of three bands, but in the lowest resolution
            bands, level, half = (3, level + 1, 1) if resolution else (1, level, 0)
            largest = (coding.block_width, coding.block_height)
            sizes = (min(largest[0], sizes[0] - half), min(largest[1], sizes[1] - half))
        else:
            bands = 1
        across, down = (((side >> level) >> max(0, power)) + 2 for side, power in zip(tile, sizes, strict=True))
        total += bands * across * down
    return total
