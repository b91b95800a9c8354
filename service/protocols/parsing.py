"""JSON to checked types, and numbers to arrays: what both protocols parse alike."""

import codecs
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.errors import BadRequest, PayloadTooLarge
from service.protocols.nearly_json import advice_for

FP32_OVERFLOW_GUARD = 1e70  # below the square of the largest FP32 number, 1.2e77: no element overflows

LARGE_BODY = 2**16  # bytes: what a smaller one takes is not reserved
PIXEL_BYTES = 12  # of an integer up to 255 as Python holds it in a list, and as UINT8
FLOAT_BYTES = 72  # of a number as Python holds it in a tuple or list, as FP64 and as FP32
ARRAY_BYTES = 128  # of an array or object without its elements
WIDEST_CHARACTERS = 7  # times the bytes of a text: 4 bytes for each character, and the parser's own buffer

Pixel = Annotated[int, msgspec.Meta(ge=0, le=255)]
T = TypeVar("T")


class ModelNames(msgspec.Struct):
    """The names of the models, as KServe lists them."""

    models: list[str]


def parsing_memory(data: bytes, number_bytes: int, max_arrays: int) -> int:
    """The most bytes that a body of JSON or CSV takes while it is parsed and becomes an array.

    `number_bytes` is `PIXEL_BYTES` or `FLOAT_BYTES`. What has more than `max_arrays` is not parsed.
    """
    numbers = data.count(b",") + data.count(b"\n") + 1
    arrays = min(data.count(b"[") + data.count(b"{"), max_arrays)
    is_wide = b"\\u" in data or not data.isascii()
    return numbers * number_bytes + arrays * ARRAY_BYTES + len(data) * (WIDEST_CHARACTERS if is_wide else 1)


def decode_json(data: bytes, decoder: msgspec.json.Decoder[T], max_arrays: int | None = None, root: str = "") -> T:
    """Parse and validate in one pass; raises `BadRequest`, which says what was expected at which path below `root`.

    A body that opens more arrays and objects than the largest allowed request needs is not parsed at all, as each would
    take many times its bytes in memory.
    """
    if max_arrays is not None and data.count(b"[") + data.count(b"{") > max_arrays:
        raise PayloadTooLarge("more instances or rows, or nested deeper, than DIGITALIS_MAX_ROWS allows")
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise BadRequest(_located(str(error), root)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if data.startswith(codecs.BOM_UTF8):
            return decode_json(data[len(codecs.BOM_UTF8) :], decoder, max_arrays, root)
        what = str(error).removeprefix("JSON is malformed: ")
        raise BadRequest(f"the body is not JSON: {what}{advice_for(data)}") from None
    except RecursionError:
        raise BadRequest("the body is not JSON that can be parsed: nested too deeply") from None


def validate(document: Any, kind: type[T], root: str = "") -> T:
    """A parsed document as this type; raises `BadRequest` as `decode_json` does."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(_located(str(error), root)) from None


def as_fp32(numbers: Any) -> NDArray[np.float32]:
    """Numbers, nested as an array is, rounded to FP32; those that are too large become infinities."""
    array = np.array(numbers, np.float64)
    if np.vdot(array, array) < FP32_OVERFLOW_GUARD:
        return array.astype(np.float32)
    with np.errstate(over="ignore"):  # takes longer than everything else here
        return array.astype(np.float32)


def _located(message: str, root: str) -> str:
    """Turn "Expected `float`, got `bool` - at `$.instances[0][2]`" into "instances[0][2]: expected float, got bool"."""
    what, _, where = message.replace("`", "").replace(" | ", " or ").partition(" - at $")
    where = root + where if root else where.removeprefix(".")
    return f"{where or root or 'the body'}: {what[0].lower()}{what[1:]}"
