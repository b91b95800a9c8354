"""The body of a V1 request to named arrays: by the bundle's input, and by the body's media type."""

import base64
import re
from typing import Any

import numpy as np

from service.bundle.manifest import Bundle
from service.errors import BadRequest, UnsupportedMediaType
from service.http.body import CSV, IMAGE, JSON_LINES, UNTYPED, Body
from service.http.messages import JSON, Request
from service.images.decoding import encode_png
from service.protocols.examples import example_batch
from service.protocols.parsing import LARGE_BODY
from service.protocols.v1 import form_fields, image_requests, tensor_requests, vector_requests
from service.protocols.v1.counts import check_lines
from service.protocols.v1.decoded import DecodedRequest
from service.protocols.v1.options import Options, check_parameters

NO_CONTROL = rb"[^\x00-\x08\x0e-\x1f\x7f]"
TEXT = re.compile(NO_CONTROL + rb"{64}|" + NO_CONTROL + rb"*\Z")  # how a text begins


def media_types(bundle: Bundle) -> dict[str, Any]:
    """The media types that the model accepts, and the content of each: a msgspec type, JSON schema, or bytes (None)."""
    if bundle.takes_tensors:
        return tensor_requests.media_types(bundle)
    if bundle.takes_images:
        return image_requests.media_types(bundle)
    return vector_requests.media_types(bundle.features)


def decode(body: Body, bundle: Bundle, request: Request, options: Options) -> DecodedRequest:
    """Decode every instance of the body, in order.

    Raises a `RequestError`: 400 malformed, 413 over a limit, 415 not a media type of this model, 422 unprocessable.
    """
    if not body.data and not body.files:
        raise BadRequest("the body is empty")
    accepted = media_types(bundle)
    if body.media_type not in accepted:
        if fields := form_fields.read_fields(body) if bundle.features else []:
            return form_fields.decode(fields, bundle, options, example(bundle))
        body = _as_meant(body, bundle, request)
    if body.media_type not in accepted:
        found = (
            "a body that is not JSON and has no specific Content-Type"
            if body.content_type in UNTYPED
            else body.content_type
        )
        raise UnsupportedMediaType(
            f"{bundle.name} does not accept {found}: send {', '.join(accepted)}{form_fields.hint_for_file(body)}"
        )
    if bundle.takes_tensors:
        return tensor_requests.decode(body, bundle, request)
    read = image_requests.decode if bundle.takes_images else vector_requests.decode
    decoded = read(body, bundle, request, options)
    if decoded.parameters:
        check_parameters(decoded.parameters, bundle)
    return decoded


def _as_meant(body: Body, bundle: Bundle, request: Request) -> Body:
    """JSON lines as JSON; for a model of features a file in a form, and what is neither JSON nor typed, as CSV."""
    if body.media_type == JSON_LINES:
        check_lines(body.data.count(b"\n") + 1, request.settings)
        if len(body.data) > LARGE_BODY:
            request.reserve_body(2 * len(body.data))
        lines = [line for line in body.data.split(b"\n") if line.strip()]
        return Body(JSON, b'{"instances":[' + b",".join(lines) + b"]}")
    if bundle.features and len(body.files) == 1 and TEXT.match(body.files[0].data):
        body = Body("text/plain", bytes(body.files[0].data))
    if bundle.features and body.media_type == IMAGE and body.content_type in UNTYPED and TEXT.match(body.data):
        return body._replace(content_type=CSV)
    return body


def example(bundle: Bundle) -> dict[str, Any]:
    """An example body for `:predict`; an image as a PNG file in base64."""
    if bundle.takes_tensors:
        return tensor_requests.example(bundle)
    batch = example_batch(bundle)
    if not bundle.takes_images:
        (row,) = batch.tolist()
        named = zip(bundle.features, row, strict=True)
        words = [one.categories[int(value)] if one.categories else value for one, value in named]
        return {"instances": [words]}
    return {"instances": [{"b64": base64.b64encode(encode_png(np.uint8(255) - batch[0])).decode()}]}
