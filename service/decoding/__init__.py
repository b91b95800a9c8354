"""Bytes to named arrays: a request's body, by what the bundle takes and by the body's media type.

`images` and `vectors` each name their media types. Nothing in here knows Flask.
"""

from service.bundle import Bundle
from service.decoding import images, vectors
from service.decoding.body import UNTYPED, Body
from service.errors import BadRequest, UnsupportedMediaType
from service.settings import Settings
from service.signature import Arrays


def decode(body: Body, bundle: Bundle, settings: Settings) -> Arrays:
    """The one input of the bundle, by its name, for every instance in the body.

    Raises a `RequestError`: 400 malformed, 413 over a limit, 415 not a media type of this model, 422 unusable.
    """
    media_types = images.MEDIA_TYPES if bundle.takes_images else vectors.MEDIA_TYPES
    if not body.data and not body.files:
        raise BadRequest("the body is empty")
    if body.media_type not in media_types:
        shown = "bytes whose Content-Type is not said" if body.content_type in UNTYPED else body.content_type
        raise UnsupportedMediaType(f"{bundle.name} does not take {shown}: send {', '.join(media_types)}")
    if bundle.takes_images:
        return {"image": images.decode(body, settings)}
    return {"features": vectors.decode(body, bundle.features, settings)}
