"""Requests to image models -> `image` UINT8 [28, 28] for each instance.

Image files (in forms, as raw bodies, in base64) go through the normaliser; 28x28 arrays are the network's own input,
and never do.
"""

from typing import Any

import msgspec
import numpy as np

from service.bundle.manifest import IMAGE_SHAPE
from service.errors import BadRequest, PayloadTooLarge, RequestError
from service.http.body import FORM, IMAGE, Body
from service.http.messages import JSON
from service.images.decoding import PixelBudget
from service.images.network_input import NetworkInput, read_image
from service.protocols.parsing import Pixel, decode_json
from service.settings import Settings

ARRAYS_PER_INSTANCE = 40  # brackets that a 28x28 array opens, and room for those around it


class ImageFile(msgspec.Struct, forbid_unknown_fields=True):
    """An image file; in JSON `{"b64": "<the file in standard base64>"}`."""

    b64: bytes


class ImageInstances(msgspec.Struct):
    """The V1 request of an image model: 28x28 arrays (0 = paper, 255 = ink), or image files in base64."""

    instances: list[list[list[Pixel]] | ImageFile]
    signature_name: str | None = None


FILES = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string", "format": "binary"}}}
MEDIA_TYPES: dict[str, Any] = {JSON: ImageInstances, FORM: FILES, IMAGE: None}
DECODER = msgspec.json.Decoder(ImageInstances)


def decode(body: Body, settings: Settings) -> list[NetworkInput]:
    """All images of a body, in order. Raises a `RequestError` that names the one that failed."""
    if body.media_type == JSON:
        instances = _parse(body.data, settings.max_rows)
        _check_count(len(instances), settings.max_rows, "instances")
        files = sum(isinstance(instance, ImageFile) for instance in instances)
        if files > settings.max_files:
            raise PayloadTooLarge(f"{files} pictures in one request: at most {settings.max_files}")
        sources = [(f"instances[{i}]", instance) for i, instance in enumerate(instances)]
    elif body.media_type == FORM:
        _check_count(len(body.files), settings.max_files, "files")
        sources = [(f"file {i + 1} ({file.name})", ImageFile(bytes(file.data))) for i, file in enumerate(body.files)]
    else:
        sources = [("the body", ImageFile(body.data))]
    budget = PixelBudget(settings.max_image_pixels)
    return [_network_input(source, where, budget) for where, source in sources]


def _parse(data: bytes, max_rows: int) -> list[list[list[Pixel]] | ImageFile]:
    try:
        return decode_json(data, DECODER, ARRAYS_PER_INSTANCE * max_rows).instances
    except BadRequest as error:
        hint = ': an instance is {"b64": "<an image file>"}, or 28 rows of 28 integers'
        raise BadRequest(f"{error}{hint if str(error).startswith('instances[') else ''}") from None


def _check_count(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise PayloadTooLarge(f"{count} {what} in one request: at most {limit}")
    if not count:
        raise BadRequest(f"no {what}: send at least one")


def _network_input(source: list[list[int]] | ImageFile, where: str, budget: PixelBudget) -> NetworkInput:
    if isinstance(source, ImageFile):
        try:
            return read_image(source.b64, budget)
        except RequestError as error:
            raise type(error)(f"{where}: {error}") from None
    height, width = IMAGE_SHAPE
    if len(source) != height or any(len(row) != width for row in source):
        widths = sorted({len(row) for row in source})[:3]
        raise BadRequest(f"{where}: {len(source)} rows of {widths} numbers, expected {height} rows of {width}")
    return NetworkInput(np.array(source, np.uint8))
