"""The text fields of a form that was sent to a vector model: one row of features by name."""

import csv
import io
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from service.bundle.manifest import Bundle
from service.errors import BadRequest
from service.http.body import CSV, FORM, Body
from service.http.messages import Request
from service.protocols.v1 import vector_requests
from service.protocols.v1.decoded import DecodedRequest
from service.protocols.v1.options import Options

URLENCODED = "application/x-www-form-urlencoded"
MAX_BYTES = 2**16  # of a form of numbers
MAX_FIELDS = 1000
MAX_SHOWN = 8  # names of fields in a message
TABLES = (".csv", ".tsv", ".json", ".txt")

Fields = list[tuple[str, str]]  # names and values


def read_fields(body: Body) -> Fields:
    """The fields of a form without files, of one line each; empty for another body."""
    fields: Fields = []
    if body.media_type == FORM:
        if all(file.kind == "field" and len(file.data) <= MAX_BYTES for file in body.files):
            fields = [(file.name, bytes(file.data).decode("utf-8", "replace")) for file in body.files]
    elif body.content_type == URLENCODED and len(body.data) <= MAX_BYTES and b"=" in body.data:
        try:
            text = body.data.decode()
            fields = parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            return []
    return fields if all((name + value).isprintable() for name, value in fields) else []


def decode(
    fields: Fields, bundle: Bundle, request: Request, options: Options, example: dict[str, Any]
) -> DecodedRequest:
    """A field for each feature as a row.

    Raises `BadRequest` for other fields, with the `example` as the body to send, and for a value that does not fit.
    """
    names, features = [name for name, _ in fields], {feature.name: feature for feature in bundle.features}
    left_out = [name for name, feature in features.items() if name not in names and feature.may_be_missing]
    if sorted(names + left_out) != sorted(features):
        named = {"instances": [dict(zip(features, example["instances"][0], strict=True))]}
        shown = ", ".join(name[:40] for name in names[:MAX_SHOWN])
        raise BadRequest(
            f"a form with the fields {shown}: send a field for each feature, by its name, or rows as JSON, such as "
            f"{msgspec.json.encode(named).decode()}"
        )
    cells = dict(fields) | dict.fromkeys(left_out, "")
    text = io.StringIO()
    csv.writer(text).writerows([cells.keys(), cells.values()])
    try:
        return vector_requests.decode(Body(CSV, text.getvalue().encode()), bundle, request, options)
    except BadRequest as error:
        raise BadRequest(f"the form: {str(error).partition(': ')[2]}") from None


def hint_for_file(body: Body) -> str:
    """What to say of a table that was sent as a file of a form."""
    if not (body.media_type == FORM and any(file.name.lower().endswith(TABLES) for file in body.files)):
        return ""
    return "; send the file as the body: curl --data-binary @rows.csv -H 'Content-Type: text/csv'"
