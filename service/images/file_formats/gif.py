"""GIF: screen, palettes, transparency and first picture of a file (GIF89a specification)."""

from service.images.file_formats.image_data import ImageData

HEADER_BYTES, DESCRIPTOR_BYTES = 13, 10
EXTENSION, PICTURE, END = 0x21, 0x2C, 0x3B
GRAPHIC_CONTROL = 0xF9
TRAILER_BYTES = 64  # in which the end is looked for: some programs fill a file up with zeros
MAX_BLOCKS = 10_000  # before the first picture


def extract_gif(data: bytes | memoryview) -> ImageData:
    """The first picture, and which of its colours is transparent; comments, loops and further pictures are left out."""
    at = HEADER_BYTES + _palette_bytes(data[10])
    header, control, blocks = data[:at], b"", 0
    while blocks < MAX_BLOCKS:
        if data[at] == PICTURE:
            lacks_end = bytes(data[-TRAILER_BYTES:]).rstrip(b"\0")[-1:] != b";"
            return ImageData(b"".join([header, control, memoryview(data)[at:]]), lacks_end=lacks_end)
        if data[at] == END:
            raise ValueError("it has no picture")
        start, blocks = at, blocks + 1
        if data[at] != EXTENSION:
            at += 1  # Pillow skips what it does not know
            continue
        at += 2
        while data[at] and blocks < MAX_BLOCKS:
            at, blocks = at + 1 + data[at], blocks + 1
        at += 1
        if data[start + 1] == GRAPHIC_CONTROL:
            control = _without_disposal(bytes(data[start:at]))
    raise ValueError(f"it has over {MAX_BLOCKS:,} blocks before its first picture")


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _without_disposal(control: bytes) -> bytes:
    """What becomes of the picture before the next one is shown: Pillow would make a second one of its size for it."""
    return control[:3] + bytes([control[3] & ~0x1C]) + control[4:]
