"""PNG: the header, palette, transparency and pixels of a file (PNG specification, third edition, section 5)."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from service.images.file_formats.image_data import ImageData

TABLES = (b"IHDR", b"PLTE", b"tRNS")
METADATA = (b"eXIf", b"iTXt", b"zTXt")
SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 20_000  # encoders write 8 KiB or more of pixels at a time
MAX_PROFILE_BYTES = 2**20  # of EXIF data that ImageMagick has written as text
XMP = b"XML:com.adobe.xmp\0"
EXIF_AS_TEXT = b"Raw profile type exif\0"


Chunk = tuple[bytes, list[bytes | memoryview]]  # its type, and the pieces of its content


class Header(NamedTuple):
    """The content of IHDR."""

    width: int
    height: int
    depth: int
    colour_type: int
    compression: int
    filtering: int
    interlace: int

    def encode(self) -> bytes:
        """As IHDR has it."""
        return struct.pack(">IIBBBBB", *self)


def parse_header(content: bytes | memoryview) -> Header:
    """From the content of IHDR."""
    return Header(*struct.unpack(">IIBBBBB", content))


def write_png(chunks: list[Chunk]) -> bytes:
    """A file of these chunks."""
    parts: list[bytes | memoryview] = [SIGNATURE]
    for kind, pieces in chunks:
        checksum = 0
        if kind != b"IDAT":  # Pillow checks it for the others alone: the pixels have a checksum within
            checksum = zlib.crc32(b"".join(pieces), zlib.crc32(kind))
        parts += [struct.pack(">I", sum(len(piece) for piece in pieces)), kind, *pieces, struct.pack(">I", checksum)]
    return b"".join(parts)


def extract_png(data: bytes | memoryview) -> ImageData:
    """The default image of a file, if it is animated."""
    tables: dict[bytes, memoryview] = {}
    pixels: list[bytes | memoryview] = []
    metadata: list[tuple[bytes, memoryview]] = []
    kind = previous = b""
    for kind, content in read_chunks(memoryview(data)):
        if kind in TABLES:
            tables[kind] = content
        elif kind == b"IDAT" and (previous == b"IDAT" or not pixels):
            pixels.append(content)
        elif kind in METADATA:
            metadata.append((kind, content))
        previous = kind
    if not (b"IHDR" in tables and pixels):
        raise ValueError("it has no header, or no pixels")
    chunks: list[Chunk] = [(table, [tables[table]]) for table in TABLES if table in tables]
    file = write_png([*chunks, (b"IDAT", pixels), (b"IEND", [])])
    return ImageData(file, *_exif_and_xmp(metadata), lacks_end=kind != b"IEND")


def read_chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Type and content of each chunk up to IEND, as far as the file goes."""
    at = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        length, kind = int.from_bytes(data[at : at + 4]), bytes(data[at + 4 : at + 8])
        if not (len(kind) == 4 and kind.isalpha()):
            return
        if kind == b"IEND":
            yield kind, data[:0]
            return
        content = data[at + 8 : at + 8 + length]
        at += 12 + length
        if kind in TABLES and zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(data[at - 4 : at]):
            raise ValueError(f"the checksum of its chunk {kind.decode()} is wrong")
        yield kind, content
    raise ValueError(f"it has over {MAX_CHUNKS:,} chunks")


def _exif_and_xmp(metadata: list[tuple[bytes, memoryview]]) -> tuple[bytes, bytes]:
    exif = as_text = xmp = b""
    for kind, content in metadata:
        if kind == b"eXIf":
            exif = bytes(content)
        elif kind == b"iTXt" and content[: len(XMP)] == XMP:
            xmp = bytes(content)
        elif kind == b"zTXt" and content[: len(EXIF_AS_TEXT)] == EXIF_AS_TEXT:
            as_text = bytes(content[len(EXIF_AS_TEXT) + 1 :])
    return exif or _parse_exif_text(as_text), xmp


def _parse_exif_text(compressed: bytes) -> bytes:
    """ImageMagick's notation: a few lines of header, then the data in hexadecimal digits."""
    try:
        text = zlib.decompressobj().decompress(compressed, MAX_PROFILE_BYTES)
        return bytes.fromhex("".join(text.decode("latin1").split("\n")[3:]))
    except (zlib.error, ValueError):
        return b""
