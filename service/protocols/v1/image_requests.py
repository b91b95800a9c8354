"""Requests to image models -> `image` UINT8 [height, width], or [height, width, 3] in colour, for each instance.

Image files (in forms, as raw bodies, in base64) are preprocessed as the bundle says: digits go through the normaliser.
Arrays are the network's own input, and are never changed.
"""

import contextlib
import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np

from service.bundle.manifest import Bundle
from service.errors import BadRequest, PayloadTooLarge, RequestError
from service.http.body import FORM, IMAGE, Body
from service.http.messages import JSON, Request
from service.images.base64_text import BASE64_COPIES, decode_base64, is_base64
from service.images.decoding import FILE_COPIES, EncodedImage, open_image
from service.images.limits import PixelBudget
from service.images.network_input import NetworkInput, read_digit, read_picture
from service.protocols.parsing import LARGE_BODY, PIXEL_BYTES, Pixel, decode_json, parsing_memory
from service.protocols.tensor_values import nested

MIN_FIELD_BYTES = 64  # of a form's text field that may be a picture in base64
OTHER_BRACKETS = 11  # around the rows of an array, and room


class ImageFile(msgspec.Struct, forbid_unknown_fields=True):
    """An image file; in JSON `{"b64": "<the file in base64>"}`, standard or URL-safe, or as a data URI."""

    b64: str


FILES = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string", "format": "binary"}}}

Array = list[Any]  # nested as the image is
File = tuple[str, bytes | memoryview]  # where in the body it is, and an image file


def media_types(bundle: Bundle) -> dict[str, Any]:
    """The media types that are accepted, and the type of what each contains."""
    return {JSON: _decoder(len(bundle.image_shape)).type, FORM: FILES, IMAGE: None}


def decode(body: Body, bundle: Bundle, request: Request) -> list[NetworkInput]:
    """All images of a body, in order. Raises a `RequestError` that names the one that failed."""
    if body.media_type == JSON:
        return _decode_json(body.data, bundle, request)
    if body.media_type == FORM:
        files = [file for file in body.files if file.kind == "file" or len(file.data) > MIN_FIELD_BYTES]
        if not files:
            raise BadRequest("no file in the form: send at least one, as `curl -F image=@digit.png` does")
        _check_count(len(files), request.settings.max_files, "files")
        sent: list[File] = [(f"{file.kind} {i + 1} ({file.name})", file.data) for i, file in enumerate(files)]
    else:
        sent = [("the body", body.data)]
    return _read_files(_from_base64(sent, request), bundle, request)


def _from_base64(sent: list[File], request: Request) -> list[File]:
    """Files as they are, and in place of a base64 text the file in it."""
    texts = {where: data for where, data in sent if is_base64(data)}
    with request.reserve(BASE64_COPIES * sum(map(len, texts.values()))):
        decoded = {where: _decoded(data, where) for where, data in texts.items()}
        _reserve_decoded(decoded.values(), request)
    return [(where, decoded.get(where, data)) for where, data in sent]


def _reserve_decoded(files: Iterable[bytes | memoryview], request: Request) -> None:
    """Reserve memory for files out of base64, which stand beside the body until the response is made."""
    if (size := sum(map(len, files))) > LARGE_BODY:
        request.reserve_body(size)


@functools.cache
def _decoder(dimensions: int) -> msgspec.json.Decoder[Any]:
    """The V1 request of an image model: arrays of pixels 0 to 255, or image files in base64."""
    instance: Any = nested(Pixel, dimensions) | ImageFile | str  # a text is a file in base64
    fields: list[Any] = [("instances", nested(instance, 1)), ("signature_name", str | None, None)]
    return msgspec.json.Decoder(msgspec.defstruct("ImageInstances", fields))


def _brackets(shape: tuple[int, ...]) -> int:
    """How many an array of this shape opens, and those around it."""
    return OTHER_BRACKETS + 1 + sum(math.prod(shape[:i]) for i in range(1, len(shape)))


def _decode_json(data: bytes, bundle: Bundle, request: Request) -> list[NetworkInput]:
    settings, shape = request.settings, bundle.image_shape
    max_arrays = _brackets(shape) * settings.max_rows
    memory = 0
    if len(data) > LARGE_BODY:  # of arrays, or of texts of files and what decoding them takes
        memory = max(parsing_memory(data, PIXEL_BYTES, len(data), max_arrays), (1 + BASE64_COPIES) * len(data))
    with request.reserve(memory):
        instances = _parse(data, shape, max_arrays)
        _check_count(len(instances), settings.max_rows, "instances")
        texts = [(i, one) for i, one in enumerate(instances) if not isinstance(one, list)]
        if len(texts) > settings.max_files:
            limit = f"at most {settings.max_files} (DIGITALIS_MAX_FILES)"
            raise PayloadTooLarge(f"{len(texts)} pictures in one request: {limit}")
        files = [(i, _from_text(one, i)) for i, one in texts]
        images = {i: _from_array(one, shape, i) for i, one in enumerate(instances) if isinstance(one, list)}
        count = len(instances)
        del instances, texts
        _reserve_decoded([file for _, file in files], request)
    located: list[File] = [(f"instances[{i}]", file) for i, file in files]
    images |= zip((i for i, _ in files), _read_files(located, bundle, request), strict=True)
    return [images[i] for i in range(count)]


def _read_files(files: list[File], bundle: Bundle, request: Request) -> list[NetworkInput]:
    """Decode and preprocess, with memory for the largest one: they are decoded one after the other."""
    if not files:
        return []
    size = sum(len(file) for _, file in files)
    with request.reserve(FILE_COPIES * size):
        opened = [*_open_files(files, request)]
        where, largest = max(opened, key=lambda one: one[1].memory)
        memory = largest.memory_in_colour if len(bundle.image_shape) == 3 else largest.memory
        what = f"{where}: decoding {largest.width}x{largest.height} pixels"
        if size > LARGE_BODY:  # they are opened again, one by one, once there is memory for it
            opened.clear()
            del largest
    with request.reserve(memory, what):
        return [_read(image, where, bundle, request) for where, image in opened or _open_files(files, request)]


def _open_files(files: list[File], request: Request) -> Iterator[tuple[str, EncodedImage]]:
    budget = PixelBudget(request.settings.max_image_pixels, "DIGITALIS_MAX_IMAGE_PIXELS")
    for where, file in files:
        with _located(where):
            yield where, open_image(file, budget)


def _parse(data: bytes, shape: tuple[int, ...], max_arrays: int) -> list[Array | ImageFile | str]:
    try:
        instances: list[Array | ImageFile | str] = decode_json(data, _decoder(len(shape)), max_arrays).instances
    except BadRequest as error:
        hint = f': an instance is {{"b64": "<an image file>"}}, or {_shown(shape)}'
        raise BadRequest(f"{error}{hint if str(error).startswith('instances[') else ''}") from None
    return instances


def _shown(shape: tuple[int, ...]) -> str:
    height, width, *colours = shape
    return f"{height} rows of {width} {'lists of 3 integers' if colours else 'integers'}"


def _check_count(count: int, limit: int, what: str) -> None:
    if count > limit:
        setting = "DIGITALIS_MAX_FILES" if what == "files" else "DIGITALIS_MAX_ROWS"
        raise PayloadTooLarge(f"{count} {what} in one request: at most {limit} ({setting})")
    if not count:
        raise BadRequest(f"no {what}: send at least one")


def _from_text(one: ImageFile | str, index: int) -> bytes:
    where, text = (f"instances[{index}]", one) if isinstance(one, str) else (f"instances[{index}].b64", one.b64)
    return _decoded(text, where)


def _decoded(text: str | bytes | memoryview, where: str) -> bytes:
    with _located(where):
        return decode_base64(text)


def _from_array(array: Array, shape: tuple[int, ...], index: int) -> NetworkInput:
    height, width, *colours = shape
    wrong = len(array) != height or any(len(row) != width for row in array)
    if wrong or (colours and any(len(pixel) != 3 for row in array for pixel in row)):
        widths = sorted({len(row) for row in array})[:3]
        found = f"{len(array)} rows of {widths} {'pixels' if colours else 'numbers'}"
        expected = f"{height} rows of {width}" + (" pixels of 3 numbers" if colours else "")
        raise BadRequest(f"instances[{index}]: {found}, expected {expected}")
    return NetworkInput(np.array(array, np.uint8))


def _read(image: EncodedImage, where: str, bundle: Bundle, request: Request) -> NetworkInput:
    with _located(where):
        if bundle.reads_digits:
            return read_digit(image, request.segment)
        return read_picture(image, bundle.preprocessing, bundle.image_shape)


@contextlib.contextmanager
def _located(where: str) -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        raise type(error)(f"{where}: {error}") from None
