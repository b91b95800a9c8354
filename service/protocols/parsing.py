"""The body of a request, and the two things every decoder needs: its true media type, and its JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec

from service.errors import BadRequest, PayloadTooLarge

JSON = "application/json"
CSV = "text/csv"
FORM = "multipart/form-data"
IMAGE = "image/*"
# What curl, browsers' fetch, and clients that name no type say of anything: then the first bytes decide.
UNTYPED = ("", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain")

T = TypeVar("T")


@dataclass(frozen=True)
class Upload:
    """One file of a form."""

    name: str
    data: bytes


class Body(NamedTuple):
    """What a client sent: a form's files, or the bytes of anything else."""

    content_type: str
    data: bytes = b""
    files: Sequence[Upload] = ()

    @property
    def media_type(self) -> str:
        """`application/json`, `text/csv`, `multipart/form-data`, `image/*`, or whatever else the client says."""
        if self.content_type in UNTYPED:
            return JSON if self.data[:64].lstrip()[:1] in (b"{", b"[") else IMAGE
        return IMAGE if self.content_type.startswith("image/") else self.content_type


def decode_json(data: bytes, decoder: msgspec.json.Decoder[T], most_arrays: int | None = None, root: str = "") -> T:
    """Parse and validate in one pass; raise `BadRequest` saying what was expected where, below the `root`.

    A body that opens more arrays and objects than any allowed number of instances needs is not even parsed: each
    would cost many times its bytes.
    """
    if most_arrays is not None and data.count(b"[") + data.count(b"{") > most_arrays:
        raise PayloadTooLarge("more instances or rows, or nested deeper, than one request may have")
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise BadRequest(_located(str(error), root)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise BadRequest("the body is not JSON that can be read: nested too deeply") from None


def _located(message: str, root: str) -> str:
    """Turn "Expected `float`, got `bool` - at `$.instances[0][2]`" into "instances[0][2]: expected float, got bool"."""
    what, _, where = message.replace("`", "").replace(" | ", " or ").partition(" - at $")
    where = root + where if root else where.removeprefix(".")
    if "base64" in what:
        what += ": expected the standard alphabet, padded, without line breaks or a data: prefix"
    return f"{where or 'the body'}: {what[0].lower()}{what[1:]}"
