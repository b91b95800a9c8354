"""JPEG: tables and scans of a file, without what applications add to it (ITU-T T.81, annex B)."""

import re
from collections.abc import Iterator

from service.images.file_formats.image_data import ImageData, UnsupportedKind
from service.images.file_formats.jpeg_line_breaks import check_line_breaks

# A marker, after any other bytes: neither a fill byte, nor an escaped FF, nor a restart inside of a scan.
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
BITS = 8  # of a sample
SEQUENTIAL_FRAMES = (0xC0, 0xC1)  # coded by Huffman's method
PROGRESSIVE_FRAMES = (0xC2, 0xC6, 0xCA, 0xCE)
UNREAD_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7)  # lossless, hierarchical, and JPEG-LS
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
END = b"\xff\xd9"
JFIF, APP1, ADOBE = 0xE0, 0xE1, 0xEE
APPLICATION_AND_COMMENT = {*range(0xE0, 0xF0), 0xFE}
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
MAX_SEGMENTS = 2000  # extended XMP and depth maps fill hundreds
MAX_SCANS = 32  # libjpeg goes over all pixels in each: progressive files have ten or so


def extract_jpeg(data: bytes | memoryview) -> ImageData:
    """The tables and scans up to the end of the first picture; JFIF's and Adobe's segments tell its colours."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [b"\xff\xd8"]
    exif, xmp, components, frame = b"", b"", 0, 0
    for marker, start, end in _segments(data):
        content = view[start + 4 : end]
        if marker == START_OF_SCAN:
            check_line_breaks(view[end:])
            has_several = frame in PROGRESSIVE_FRAMES or content[0] < components
            if not (scans_end := _scans_end(data, end)):
                kept += [bytes(view[start:]).rstrip(b"\0"), END]  # what was not received is often zeros
                return ImageData(b"".join(kept), exif, xmp, has_several, lacks_end=True)
            scan_end = sum(map(len, kept)) + scans_end - start
            kept.append(view[start:])
            is_one_scan = frame in SEQUENTIAL_FRAMES and not has_several
            return ImageData(b"".join(kept), exif, xmp, has_several, scan_end=scan_end if is_one_scan else 0)
        if marker in FRAMES:
            _check_frame(marker, content[0])
            components, frame = content[5], marker
        if marker == APP1 and content[: len(EXIF)] == EXIF:
            exif = exif or bytes(content[len(EXIF) :])
        elif marker == APP1 and content[: len(XMP)] == XMP:
            xmp = bytes(content)
        elif marker in (JFIF, ADOBE) or marker not in APPLICATION_AND_COMMENT:
            kept.append(view[start:end])
    raise ValueError("it has no pixels")


def _check_frame(marker: int, depth: int) -> None:
    if marker in UNREAD_FRAMES:
        raise UnsupportedKind("lossless, hierarchical or JPEG-LS")
    if depth != BITS:
        raise UnsupportedKind(f"samples of {depth} bits")


def _scans_end(data: bytes | memoryview, at: int) -> int:
    """Where the marker after the last scan is, or 0; raises `ValueError` if too many scans follow the first one."""
    found = [(marker, start) for marker, start, _ in _segments(data, at)]
    scans = 1 + sum(marker == START_OF_SCAN for marker, _ in found)
    if scans > MAX_SCANS:
        raise ValueError(f"it has {scans} scans: at most {MAX_SCANS}")
    return found[-1][1] if found and found[-1][0] == END_OF_IMAGE else 0


def _segments(data: bytes | memoryview, at: int = 2) -> Iterator[tuple[int, int, int]]:
    """Marker, beginning and end of each segment, and the end of the picture; the pixels follow a start of scan."""
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, at)
        if found is None:
            return
        start = found.start()
        if data[start + 1] == END_OF_IMAGE:
            yield END_OF_IMAGE, start, start + 2
            return
        at = start + 2 + max(2, int.from_bytes(data[start + 2 : start + 4]))
        yield data[start + 1], start, at
    raise ValueError(f"it has over {MAX_SEGMENTS:,} segments")
