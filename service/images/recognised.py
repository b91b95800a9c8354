"""What a file is that is no picture, or none that can be read: by its first bytes, and what to do about it."""

import re
from typing import NamedTuple

from service.images.file_formats import AVIF_BRANDS, BRANDS, EITHER_BRANDS, HEIC_BRANDS, WHITE_SPACE

SHOWN = 4096  # bytes from which a file is recognised
SEARCHED = 2**16  # bytes in which the beginning of a picture is looked for
MIN_REPLACED = 3  # characters that stand for bytes which were no text

Bytes = bytes | memoryview


class Kind(NamedTuple):
    """A kind of file: how it begins, what it is called, and what its sender can do."""

    beginning: re.Pattern[bytes]
    name: str
    advice: str


def _kinds(*kinds: tuple[bytes, str, str]) -> list[Kind]:
    return [Kind(re.compile(beginning, re.DOTALL | re.IGNORECASE), name, advice) for beginning, name, advice in kinds]


def _ftyp(*brands: bytes) -> bytes:
    """The pattern of a file of one of these brands."""
    return rb".{4}ftyp(?:" + b"|".join(brands) + b")"


AS_PNG = "save it as PNG or JPEG"
BINARY = "read and send the file as bytes, not as text"
ENCODED = "compress with Content-Encoding: gzip or not at all"
FROM_DOCUMENT = "save the picture in it as PNG or JPEG"
UNPACKED = "send the pictures in it as files of their own"
AN_ANSWER = "it may be the answer of a server that had no picture: look at how the file was fetched"
FETCHED = "the service fetches nothing: send the content of the file"

(HEXADECIMAL,) = _kinds(
    (
        (
            rb'["]?(?:\\+x|0x)?(?:89\s?50\s?4e\s?47|ff\s?d8\s?ff|47\s?49\s?46\s?38|52\s?49\s?46\s?46[0-9a-f\s]{10}'
            rb"|42\s?4d[0-9a-f\s]{16}|49\s?49\s?2a\s?00|4d\s?4d\s?00\s?2a)"
        ),
        "a picture as hexadecimal digits",
        "send its bytes, or base64",
    ),
)
# It has no signature: no palette and no place of one, or a palette; then sizes, and the bits of a pixel.
TGA = (
    rb".\0[\x02\x03\x0a\x0b]\0{5}.{8}[\x08\x0f\x10\x18\x20][\0-\x3f]"
    rb"|.\x01[\x01\x09].{4}[\x0f\x10\x18\x20].{8}[\x08\x10][\0-\x3f]"
)
SIGNATURE = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff[\xc0-\xfe]|GIF8[79]a|RIFF.{4}WEBPVP8|BM.{4}\0{4}|II\*\0|MM\0\*|"
    + _ftyp(*sorted(BRANDS)),
    re.DOTALL,
)
ASCII = bytes(range(128))

# Signatures of pictures of which bytes were changed by something that took them for text.
MANGLED = _kinds(
    (rb"\x89PNG\n\x1a|\x89PNG\r\x1a|\x89PNG\r\r\n|\x89PNG\r\n\x1a\r\n", "a PNG file with changed line breaks", BINARY),
    (rb"\tPNG\r?\n", "a PNG file of which each byte lost a bit", BINARY),
    (
        rb"(?:\xef\xbf\xbd|\?)PNG|(?:\xef\xbf\xbd){3}|\?{4}..(?:JFIF|Exif)",
        "a picture of which bytes were replaced as no UTF-8",
        BINARY,
    ),
    (
        rb"(?:\xc2\x89|\xe2\x80\xb0)PNG|\xc3\xbf\xc3\x98\xc3\xbf",
        "a picture of which bytes were encoded as UTF-8",
        BINARY,
    ),
)
FILES = _kinds(
    (
        _ftyp(*HEIC_BRANDS, *EITHER_BRANDS),
        "a HEIC file",
        "pip install 'digitalis-service[heic]', or send JPEG or PNG",
    ),
    (_ftyp(*AVIF_BRANDS), "an AVIF file that this service cannot read", AS_PNG),
    (rb".{4}ftypcrx ", "a raw file of a camera", AS_PNG),
    (rb".{4}(?:ftyp|moov|mdat|wide)", "a video (MP4, MOV)", "send one picture of it as PNG or JPEG"),
    (rb"\x1a\x45\xdf\xa3|RIFF.{4}AVI |\0\0\x01\xba|FLV|OggS", "a video", "send one picture of it as PNG or JPEG"),
    (rb"RIFF.{4}WAVE|ID3|fLaC", "a sound", "send a picture"),
    (rb"(?:\xef\xbb\xbf)?\s*%PDF|.{0,1024}%PDF-\d", "a PDF document", "save its page as PNG or JPEG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file", AS_PNG),
    (rb"8BP[SB]", "a Photoshop file", AS_PNG),
    (rb"gimp xcf", "a GIMP file", AS_PNG),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL file", AS_PNG),
    (rb"P7\r?\n|PF4?\r?\n", "a Netpbm file of another kind (PAM, or PFM in colour)", "save it as PPM, PGM or PNG"),
    (TGA, "a TGA file (Targa)", AS_PNG),
    (rb"\x0a[\0\x02-\x05]\x01[\x01\x02\x04\x08].{61}[\x01-\x04]", "a PCX file", AS_PNG),
    (rb"\x28\0{3}.{8}\x01\0[\x01\x04\x08\x10\x18\x20]\0", "a bitmap without the header of its file (DIB)", AS_PNG),
    (rb"BLP[12]|DanM|LinS|Image type: ", "a picture in an unusual format", AS_PNG),
    (
        rb"icns|qoif|DDS |\x76\x2f\x31\x01|#\?RADIANCE|\x01\xda[\0\x01][\x01\x02]|AT&TFORM|SIMPLE  =",
        "a picture in an unusual format",
        AS_PNG,
    ),
    (rb".{128}DICM", "a DICOM file", AS_PNG),
    (rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", "a Windows metafile", AS_PNG),
    (rb"\x1f\x8b", "a file compressed with gzip", ENCODED),
    (rb"\x28\xb5\x2f\xfd|BZh\d|\xfd7zXZ", "a compressed file", ENCODED),
    (rb"\x93NUMPY", "a NumPy array (.npy)", "send its values as JSON, or save it as PNG"),
    (rb"PK\x03\x04.{26}\[Content_Types\]|\xd0\xcf\x11\xe0", "a document of an office program", FROM_DOCUMENT),
    (rb"PK\x03\x04|PK\x05\x06|Rar!|7z\xbc\xaf|.{257}ustar", "an archive (ZIP)", UNPACKED),
    (
        rb"\x80[\x02-\x05][\x95}\](cK]|cnumpy|ccopy_reg",
        "a pickled Python object",
        "send the picture as a file, or its values as JSON",
    ),
    (rb"\x89HDF|PAR1|SQLite format 3|ARROW1", "a file of data", "send a picture"),
    (rb"\0\x05\x16[\x07\0]", "what macOS keeps beside a file (._name)", "send the file of the same name without ._"),
    (rb"\x7fELF|MZ.{58}|\xca\xfe\xba\xbe", "a program", "send a picture"),
    (rb"L\0\0\0\x01\x14\x02", "a Windows shortcut", "send the file that it points to"),
)
# What a text may be; it may follow a byte order mark and white space.
TEXTS = [
    HEXADECIMAL,
    *_kinds(
        (rb"version https://git-lfs", "a Git LFS pointer, not the file", "git lfs pull"),
        (rb"<!doctype html|<html|<head|<body", "an HTML page", AN_ANSWER),
        (rb"<svg|<.{0,4000}<svg", "an SVG drawing", AS_PNG),
        (rb"(?:/\*.{0,1000}\*/\s*)?#define |/\* XPM", "a bitmap as source text (XBM, XPM)", AS_PNG),
        (rb"<\?xml|<[a-z]+[ >]", "an XML document", AN_ANSWER),
        (rb"[{\[]", "a JSON text", f"{AN_ANSWER}, or send it as application/json"),
        (rb"HTTP/\d", "an HTTP response with its headers", "save it without them: curl without -i"),
        (
            rb"--[^\r\n]+\r?\nContent-",
            "a form without its Content-Type",
            "multipart/form-data; boundary=... is the Content-Type",
        ),
        (rb"data:", "a data URI without base64", "canvas.toDataURL() writes one with it"),
        (rb"b['\"]", "bytes as Python prints them", "write bytes to the request, or base64 with .decode()"),
        (rb"(?:https?|ftp|file|s3|gs|blob):/?/?", "an address", FETCHED),
        (
            rb"@?[^\r\n]{1,255}\.(?:png|jpe?g|gif|bmp|tiff?|webp|hei[cf]|avif)\s*\Z",
            "the name of a file",
            "curl sends the file with @ before the name: --data-binary @digit.png",
        ),
        (rb"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|Qk[0-3]|SUkq|TU0A)", "base64 inside of base64", "encode the file once"),
        (rb"[^=&\s]{1,100}=[^&\s]*(?:&|\s*\Z)", "the fields of a form", "send the content of a picture"),
    ),
]


def recognise(data: Bytes) -> str:
    """What a file is that is no picture, and what to do; empty if that is unknown."""
    beginning = bytes(data[:SHOWN])
    if not any(beginning) and not any(data):
        return "all its bytes are zero: it was not written completely, or not read"
    kind = _first(MANGLED, beginning) or _first(FILES, beginning)
    if kind is None and (text := _text(beginning)) is not None:
        kind = _first(TEXTS, text)
        if kind is None and not SIGNATURE.search(bytes(data[:SEARCHED])):
            return "it is text: send the bytes of a picture, or base64"
    if kind is not None:
        return _said_of(kind)
    if found := SIGNATURE.search(bytes(data[:SEARCHED])):
        return f"a picture begins after {_before(bytes(data[: found.start()]))}: send it from its first byte"
    return ""


def recognise_hexadecimal(text: bytes) -> str:
    """What to say of hexadecimal digits in place of base64; empty for other text."""
    return _said_of(HEXADECIMAL) if HEXADECIMAL.beginning.match(text) else ""


def is_targa(data: Bytes) -> bool:
    """Whether it may be a TGA file, some of which begin as cursors do."""
    return re.match(TGA, bytes(data[:SHOWN]), re.DOTALL) is not None


def was_taken_for_text(data: Bytes) -> str:
    """What to say of a damaged picture whose bytes were changed by a program that took them for text; else empty."""
    beginning = bytes(data[:SHOWN])
    if beginning.count(b"\xef\xbf\xbd") >= MIN_REPLACED:
        return f"bytes of it were replaced as no UTF-8: {BINARY}"
    if len(beginning.translate(None, ASCII)) > 2 * MIN_REPLACED and _is_utf8(beginning):
        return f"its bytes were encoded as UTF-8: {BINARY}"
    return ""


def without_white_space(data: Bytes) -> Bytes | None:
    """A picture without white space before its first byte; None if there is none, or no picture follows."""
    if data[0] not in WHITE_SPACE:
        return None
    beginning = bytes(data[:SHOWN]).lstrip(WHITE_SPACE)
    if not SIGNATURE.match(beginning):
        return None
    return memoryview(data)[min(len(data), SHOWN) - len(beginning) :]


def _first(kinds: list[Kind], beginning: bytes) -> Kind | None:
    return next((kind for kind in kinds if kind.beginning.match(beginning)), None)


def _said_of(kind: Kind) -> str:
    return f"it is {kind.name}: {kind.advice}"


def _text(beginning: bytes) -> bytes | None:
    """The text of a file without a byte order mark and white space before it; None for bytes that are no text."""
    if beginning[:2] in (b"\xff\xfe", b"\xfe\xff"):
        beginning = beginning.decode("utf-16", "replace").encode()
    if b"\0" in beginning or not _is_utf8(beginning):
        return None
    return beginning.removeprefix(b"\xef\xbb\xbf").lstrip()


def _is_utf8(beginning: bytes) -> bool:
    """Whether it is UTF-8 text; its last character may be cut."""
    try:
        beginning.decode()
    except UnicodeDecodeError as error:
        return error.start > len(beginning) - 4 and len(beginning) == SHOWN
    return True


def _before(beginning: bytes) -> str:
    """What stands before a picture."""
    if beginning == b"\xef\xbb\xbf":
        return "a byte order mark"
    text = _text(beginning)
    kind = _first(TEXTS, text) if text else None
    return f"{len(beginning)} bytes of {kind.name if kind else 'something else'}"
