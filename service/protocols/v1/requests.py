"""Bytes to named arrays: a request's body, by what the bundle takes and by the body's media type.

`images` and `vectors` each name their media types. Nothing in here knows Flask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.bundle.manifest import Bundle
from service.bundle.signature import Arrays
from service.errors import BadRequest, UnsupportedMediaType
from service.images import decoding as images
from service.images.decoding import Seen
from service.protocols.parsing import UNTYPED, Body
from service.protocols.v1 import vectors
from service.settings import Settings


@dataclass(frozen=True)
class Decoded:
    """The one input of a bundle, by its name; and what is to be shown of each picture, if anything is."""

    inputs: Arrays
    shown: Sequence[Seen] = ()


def media_types(bundle: Bundle) -> dict[str, Any]:
    """The media types that the bundle takes, and what each holds: a msgspec type, a JSON schema, or bytes (None)."""
    return images.MEDIA_TYPES if bundle.takes_images else vectors.media_types(bundle.features)


def decode(body: Body, bundle: Bundle, settings: Settings, *, show: bool = False) -> Decoded:
    """Every instance in the body, in order.

    Raises a `RequestError`: 400 malformed, 413 over a limit, 415 not a media type of this model, 422 unusable.
    """
    if not body.data and not body.files:
        raise BadRequest("the body is empty")
    taken = media_types(bundle)
    if body.media_type not in taken:
        shown = (
            "bytes whose Content-Type does not say what they are" if body.content_type in UNTYPED else body.content_type
        )
        raise UnsupportedMediaType(f"{bundle.name} does not take {shown}: send {', '.join(taken)}")
    if not bundle.takes_images:
        return Decoded({"features": vectors.decode(body, bundle.features, settings)})
    seen = images.decode(body, settings)
    pictures = np.stack([one.image for one in seen]) if len(seen) > 1 else seen[0].image[np.newaxis]
    return Decoded({"image": pictures}, seen if show else ())
