"""Requests to image models -> `image` UINT8 [28, 28] for each instance.

Image files (in forms, as raw bodies, in base64) go through the normaliser; 28x28 arrays are the network's own input,
and never do.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from service.bundle.manifest import IMAGE_SHAPE
from service.errors import BadRequest, PayloadTooLarge, RequestError
from service.http.body import FORM, IMAGE, Body
from service.http.messages import JSON, Request
from service.images.decoding import FILE_COPIES, EncodedImage, open_image
from service.images.limits import PixelBudget
from service.images.network_input import NetworkInput, read_image
from service.protocols.parsing import LARGE_BODY, PIXEL_BYTES, Pixel, decode_json, parsing_memory

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


Array = list[list[int]]
File = tuple[str, bytes | memoryview]  # where in the body it is, and an image file


def decode(body: Body, request: Request) -> list[NetworkInput]:
    """All images of a body, in order. Raises a `RequestError` that names the one that failed."""
    if body.media_type == JSON:
        return _decode_json(body.data, request)
    if body.media_type == FORM:
        _check_count(len(body.files), request.settings.max_files, "files")
        return _read_files([(f"file {i + 1} ({file.name})", file.data) for i, file in enumerate(body.files)], request)
    return _read_files([("the body", body.data)], request)


def _decode_json(data: bytes, request: Request) -> list[NetworkInput]:
    settings = request.settings
    max_arrays = ARRAYS_PER_INSTANCE * settings.max_rows
    memory = parsing_memory(data, PIXEL_BYTES, len(data), max_arrays) if len(data) > LARGE_BODY else 0
    with request.reserve(memory):
        instances = _parse(data, settings.max_rows)
        _check_count(len(instances), settings.max_rows, "instances")
        files = [(i, one.b64) for i, one in enumerate(instances) if isinstance(one, ImageFile)]
        if len(files) > settings.max_files:
            raise PayloadTooLarge(f"{len(files)} pictures in one request: at most {settings.max_files}")
        images = {i: _from_array(one, i) for i, one in enumerate(instances) if not isinstance(one, ImageFile)}
        count = len(instances)
        del instances
        if (size := sum(len(file) for _, file in files)) > LARGE_BODY:
            request.reserve_body(size)
    located: list[File] = [(f"instances[{i}]", file) for i, file in files]
    images |= zip((i for i, _ in files), _read_files(located, request), strict=True)
    return [images[i] for i in range(count)]


def _read_files(files: list[File], request: Request) -> list[NetworkInput]:
    """Decode and normalise, with memory for the largest one: they are decoded one after the other."""
    if not files:
        return []
    size = sum(len(file) for _, file in files)
    with request.reserve(FILE_COPIES * size):
        opened = [*_open_files(files, request)]
        where, largest = max(opened, key=lambda one: one[1].memory)
        memory, what = largest.memory, f"{where}: decoding {largest.width}x{largest.height} pixels"
        if size > LARGE_BODY:  # they are opened again, one by one, once there is memory for it
            opened.clear()
            del largest
    with request.reserve(memory, what):
        return [_read(image, where, request) for where, image in opened or _open_files(files, request)]


def _open_files(files: list[File], request: Request) -> Iterator[tuple[str, EncodedImage]]:
    budget = PixelBudget(request.settings.max_image_pixels)
    for where, file in files:
        with _located(where):
            yield where, open_image(file, budget)


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


def _from_array(array: Array, index: int) -> NetworkInput:
    height, width = IMAGE_SHAPE
    if len(array) != height or any(len(row) != width for row in array):
        widths = sorted({len(row) for row in array})[:3]
        found = f"{len(array)} rows of {widths} numbers"
        raise BadRequest(f"instances[{index}]: {found}, expected {height} rows of {width}")
    return NetworkInput(np.array(array, np.uint8))


def _read(image: EncodedImage, where: str, request: Request) -> NetworkInput:
    with _located(where):
        return read_image(image, request.segment)


@contextlib.contextmanager
def _located(where: str) -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        raise type(error)(f"{where}: {error}") from None
