"""The text fields of a form that was sent to a vector model: one row of features by name."""

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from service.bundle.manifest import Bundle
from service.errors import BadRequest
from service.http.body import FORM, Body
from service.http.urlencoded import MAX_FIELDS, URLENCODED
from service.protocols.v1 import vector_requests
from service.protocols.v1.decoded import DecodedRequest, ItemErrors, Rows
from service.protocols.v1.feature_values import UnknownValue, number_in_cell
from service.protocols.v1.options import Options

MAX_BYTES = 2**16  # of a form of numbers
MAX_SHOWN = 8  # names of fields in a message
TABLES = (".csv", ".tsv", ".json", ".txt")

Fields = list[tuple[str, str]]  # names and values


def read_fields(body: Body) -> Fields:
    """The fields of a form without files, of one line each; empty for another body."""
    fields: Fields = []
    if body.media_type == FORM:
        if all(file.kind == "field" and len(file.data) <= MAX_BYTES for file in body.files):
            fields = [(file.name, bytes(file.data).decode("utf-8", "replace").strip()) for file in body.files]
    elif body.content_type == URLENCODED and len(body.data) <= MAX_BYTES and b"=" in body.data:
        try:
            text = body.data.decode()
            fields = parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            return []
    return fields if all((name + value).isprintable() for name, value in fields) else []


def decode(fields: Fields, bundle: Bundle, options: Options, example: dict[str, Any]) -> DecodedRequest:
    """A field for each feature as a row, without the fields that the options ignore.

    Raises `BadRequest` for other fields, with the `example` as the body to send, and for a value that does not fit.
    """
    names = [name for name, _ in fields if name not in options.ignored]
    features = {feature.name: feature for feature in bundle.features}
    left_out = [name for name, feature in features.items() if name not in names and feature.may_be_missing]
    if sorted(names + left_out) != sorted(features):
        named = {"instances": [dict(zip(features, example["instances"][0], strict=True))]}
        shown = ", ".join(name[:40] for name in names[:MAX_SHOWN])
        others = ",".join(name[:40] for name in names if name not in features)
        advice = f"; ?ignore={others} leaves out what is no feature" if others and {*features} <= {*names} else ""
        raise BadRequest(
            f"a form with the fields {shown}: send a field for each feature, by its name, or rows as JSON, such as "
            f"{msgspec.json.encode(named).decode()}{advice}"
        )
    cells, items = dict(fields) | dict.fromkeys(left_out, ""), ItemErrors(per_item=options.per_item)
    try:
        row = tuple(number_in_cell(cells[name], feature) for name, feature in features.items())
    except UnknownValue as error:
        items.add(BadRequest(str(error)), 0, "the form")
        return DecodedRequest({}, errors=items.found)
    inputs = vector_requests.to_inputs(Rows([row], [0], lambda _: "the form"), bundle.features, items)
    return DecodedRequest(inputs, errors=items.found)


def hint_for_file(body: Body) -> str:
    """What to say of a table that was sent as a file of a form."""
    if not (body.media_type == FORM and any(file.name.lower().endswith(TABLES) for file in body.files)):
        return ""
    return "; send the file as the body: curl --data-binary @rows.csv -H 'Content-Type: text/csv'"
