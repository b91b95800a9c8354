"""The body of a V1 request to named arrays: by the bundle's input, and by the body's media type."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.bundle.manifest import Bundle
from service.bundle.signature import Arrays
from service.errors import BadRequest, UnsupportedMediaType
from service.http.body import UNTYPED, Body
from service.http.messages import Request
from service.images.decoding import encode_png
from service.images.network_input import NetworkInput
from service.protocols.examples import example_batch
from service.protocols.v1 import form_fields, image_requests, tensor_requests, vector_requests


@dataclass(frozen=True)
class DecodedRequest:
    """The inputs by name; and how each image was made, if the response is to show it."""

    inputs: Arrays
    images: Sequence[NetworkInput] = ()


def media_types(bundle: Bundle) -> dict[str, Any]:
    """The media types that the model accepts, and the content of each: a msgspec type, JSON schema, or bytes (None)."""
    if bundle.takes_tensors:
        return tensor_requests.media_types(bundle)
    if bundle.takes_images:
        return image_requests.media_types(bundle)
    return vector_requests.media_types(bundle.features)


def decode(body: Body, bundle: Bundle, request: Request, *, show_images: bool = False) -> DecodedRequest:
    """Decode every instance of the body, in order.

    Raises a `RequestError`: 400 malformed, 413 over a limit, 415 not a media type of this model, 422 unprocessable.
    """
    if not body.data and not body.files:
        raise BadRequest("the body is empty")
    accepted = media_types(bundle)
    if body.media_type not in accepted:
        if fields := form_fields.read_fields(body) if bundle.features else []:
            return DecodedRequest({"features": form_fields.decode(fields, bundle, request, example(bundle))})
        found = (
            "a body that is not JSON and has no specific Content-Type"
            if body.content_type in UNTYPED
            else body.content_type
        )
        raise UnsupportedMediaType(
            f"{bundle.name} does not accept {found}: send {', '.join(accepted)}{form_fields.hint_for_file(body)}"
        )
    if bundle.takes_tensors:
        return DecodedRequest(tensor_requests.decode(body, bundle, request))
    if not bundle.takes_images:
        return DecodedRequest({"features": vector_requests.decode(body, bundle.features, request)})
    images = image_requests.decode(body, bundle, request)
    batch = np.stack([one.image for one in images]) if len(images) > 1 else images[0].image[np.newaxis]
    return DecodedRequest({"image": batch}, images if show_images else ())


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
