"""What is said of a file that cannot be decoded: that it is no picture, of an unsupported kind, or damaged."""

import contextlib
import re
from collections.abc import Iterator

from PIL import UnidentifiedImageError

from service.errors import BadRequest, RequestError, one_line
from service.images import heic
from service.images.file_formats import HEIC_BRANDS, UnsupportedKind, describe_tiff
from service.images.recognised import is_targa, recognise, was_taken_for_text

FORMATS = "PNG, JPEG, WebP, BMP, GIF, TIFF, JPEG 2000, AVIF, PPM, PGM, PBM, ICO"
TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NAMES = (
    (b"BM", "BMP"),
    (b"\xff\xd8", "JPEG"),
    (b"\xff\x4f", "JPEG 2000"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
    (b"\0\0\1\0", "ICO"),
    *((beginning, "TIFF") for beginning in TIFF_BEGINNINGS),
)
# What Pillow says of a file that is whole, but that it does not read.
IS_UNSUPPORTED = re.compile(
    r"unsupported|not supported|not implemented|unknown (pixel|raw) mode|cannot handle|not available|conversion from",
    re.IGNORECASE,
)
TRUNCATED = re.compile(r"file is truncated|truncated file|it is truncated$|ends too soon", re.IGNORECASE)
MAX_DETAIL = 200  # characters of what a library says


@contextlib.contextmanager
def damage_is_a_bad_request(data: bytes | memoryview) -> Iterator[None]:
    """Turn whatever decoding this file raises into a `BadRequest` that says what it is, or what is wrong with it."""
    try:
        yield
    except RequestError:
        if was_text := was_taken_for_text(data):  # its size is that of other bytes
            raise BadRequest(f"a damaged image: {was_text}") from None
        raise
    except MemoryError:
        raise
    except UnidentifiedImageError:
        raise BadRequest(_unidentified(data)) from None
    except Exception as error:  # noqa: BLE001 - damaged files raise nearly anything
        raise BadRequest(_damaged(data, error)) from None


def _unidentified(data: bytes | memoryview) -> str:
    if bytes(data[:4]) in TIFF_BEGINNINGS and (was_text := was_taken_for_text(data)):
        return f"a damaged image: {was_text}"
    if bytes(data[:4]) in TIFF_BEGINNINGS and (kind := describe_tiff(data)):
        return _unsupported("TIFF", kind)
    what = recognise(data)
    if not what and (name := _format_of(data)):
        return f"a damaged image: its header is not that of a {name} file"
    return f"not an image in a supported format ({FORMATS}){': ' * bool(what)}{what}"


def _damaged(data: bytes | memoryview, error: Exception) -> str:
    if (_is_heic(data) and not heic.IS_INSTALLED) or (data[:2] == b"\0\0" and is_targa(data)):
        return _unidentified(data)
    detail = one_line(error)[:MAX_DETAIL]
    if was_text := was_taken_for_text(data):
        return f"a damaged image: {was_text}"
    name = _format_of(data)
    if isinstance(error, UnsupportedKind) or (name and IS_UNSUPPORTED.search(detail)):
        return _unsupported(name, detail)
    if TRUNCATED.search(detail) or _is_cut_webp(data):
        detail = "it is truncated: a part of it was not sent, or not saved"
    return f"a damaged image: {detail}"


def _format_of(data: bytes | memoryview) -> str:
    """The format that the file begins like, where some kinds of it are not read; or empty."""
    if data[4:8] == b"ftyp":
        return "HEIC" if _is_heic(data) else "AVIF"
    return next((name for beginning, name in NAMES if data[: len(beginning)] == beginning), "")


def _is_heic(data: bytes | memoryview) -> bool:
    return data[4:8] == b"ftyp" and bytes(data[8:12]) in HEIC_BRANDS


def _is_cut_webp(data: bytes | memoryview) -> bool:
    """Whether a RIFF file has fewer bytes than its header says."""
    return bytes(data[:4]) == b"RIFF" and int.from_bytes(data[4:8], "little") + 8 > len(data)


def _unsupported(name: str, kind: str) -> str:
    return f"an unsupported kind of {name}: {kind}: save it as PNG"
