"""Requests to image models -> `image` UINT8 [height, width], or [height, width, 3] in colour, for each instance.

Image files (in forms, as raw bodies, in base64) are preprocessed as the bundle says: digits go through the normaliser.
Arrays are the network's own input, and are never changed, but that decimals 0 to 1 become 0 to 255.
"""

import functools
import math
import re
from typing import Annotated, Any

import msgspec
import numpy as np

from service.bundle.manifest import Bundle
from service.bundle.signature import Arrays
from service.errors import BadRequest, RequestError
from service.http.body import FORM, IMAGE, Body
from service.http.messages import JSON, Request
from service.images.base64_text import BASE64_COPIES, decode_base64
from service.images.network_input import NetworkInput
from service.inference.training_range import image_warnings
from service.protocols.parsing import FLOAT_BYTES, LARGE_BODY, PIXEL_BYTES, Pixel, decode_json, parsing_memory, validate
from service.protocols.tensor_values import nested
from service.protocols.v1.counts import check_pictures, check_rows
from service.protocols.v1.decoded import DecodedRequest, ItemErrors
from service.protocols.v1.image_files import File, from_base64, read_files, reserve_decoded
from service.protocols.v1.json_instances import ANYTHING, other_fields, valid_instances, without_other_fields
from service.protocols.v1.options import PARAMETERS_FIELD, BodyParameters, Options
from service.protocols.v1.picture_shapes import to_instances
from service.protocols.v1.pixel_arrays import Pixels, decimals_to_image, shown, to_image
from service.settings import Settings

MIN_FIELD_BYTES = 64  # of a form's text field that may be a picture in base64
OTHER_BRACKETS = 11  # around the rows of an array, and room
Decimal = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)] | float  # what is in no range gets its own message
NO_INTEGER = re.compile(rb"\d[.eE]")


class ImageFile(msgspec.Struct, forbid_unknown_fields=True):
    """An image file; in JSON `{"b64": "<the file in base64>"}`, standard or URL-safe, or as a data URI."""

    b64: str


class ImageForm(msgspec.Struct):
    """An image file in a field of any name, such as `image`; a form may have many."""

    image: Annotated[bytes, msgspec.Meta(extra_json_schema={"format": "binary"})]


Instance = Pixels | ImageFile | str  # a text is a file in base64


def media_types(bundle: Bundle) -> dict[str, Any]:
    """The media types that are accepted, and the type of what each contains."""
    return {JSON: _decoder(len(bundle.image_shape), Pixel).type, FORM: ImageForm, IMAGE: None}


def decode(body: Body, bundle: Bundle, request: Request, options: Options) -> DecodedRequest:
    """All images of a body, in order. Raises a `RequestError` that names the one that failed."""
    items, parameters = ItemErrors(per_item=options.per_item), None
    if body.media_type == JSON:
        images, parameters = _decode_json(body.data, bundle, request, items)
    else:
        images = read_files(from_base64(_sent(body, request), request, items), bundle, request, items)
    read = [images[i] for i in sorted(images)]
    batch = _batch(read)
    warnings = _warnings(read, batch, bundle)
    return DecodedRequest(batch, read if options.show_images else (), warnings, items.found, parameters)


def _batch(images: list[NetworkInput]) -> Arrays:
    if len(images) == 1:
        return {"image": images[0].image[np.newaxis]}
    return {"image": np.stack([one.image for one in images])} if images else {}


def _warnings(images: list[NetworkInput], batch: Arrays, bundle: Bundle) -> dict[int, tuple[str, ...]]:
    """What is doubtful about files, and about arrays that differ from the images of the training data."""
    found = {i: one.warnings for i, one in enumerate(images) if one.warnings}
    if any(one.geometry is None for one in images):
        arrays = {i for i, one in enumerate(images) if one.geometry is None}
        found |= {i: (text,) for i, text in image_warnings(bundle, batch["image"]) if i in arrays}
    return found


def _sent(body: Body, request: Request) -> list[File]:
    """The files of a form, or the body as one."""
    if body.media_type != FORM:
        return [(0, "the body", body.data)]
    files = [file for file in body.files if file.kind == "file" or len(file.data) > MIN_FIELD_BYTES]
    files = [file for file in files if file.name or file.data] or files  # a field of a browser where none was chosen
    if not files:
        raise BadRequest("no file in the form: send at least one, as `curl -F image=@digit.png` does")
    check_pictures(len(files), request.settings, "files")
    return [(i, f"{file.kind} {i + 1} ({file.name})", file.data) for i, file in enumerate(files)]


@functools.lru_cache(256)
def _instance_type(dimensions: int, pixel: Any) -> Any:
    return nested(pixel, dimensions) | ImageFile | str


@functools.lru_cache(256)
def _decoder(dimensions: int, pixel: Any) -> msgspec.json.Decoder[Any]:
    """The V1 request of an image model: arrays of pixels, or image files in base64."""
    instances = nested(_instance_type(dimensions, pixel), 1)
    fields: list[Any] = [("instances", instances), ("signature_name", str | None, None), PARAMETERS_FIELD]
    return msgspec.json.Decoder(msgspec.defstruct("ImageInstances", fields))


def _brackets(shape: tuple[int, ...]) -> int:
    """How many an array of this shape opens, and those around it."""
    return OTHER_BRACKETS + 1 + sum(math.prod(shape[:i]) for i in range(1, len(shape)))


def _decode_json(
    data: bytes, bundle: Bundle, request: Request, items: ItemErrors
) -> tuple[dict[int, NetworkInput], BodyParameters | None]:
    settings, shape = request.settings, bundle.image_shape
    max_arrays = _brackets(shape) * settings.max_rows
    memory = 0
    if len(data) > LARGE_BODY:  # of arrays, or of texts of files and what decoding them takes
        number = FLOAT_BYTES if items.per_item or NO_INTEGER.search(data) else PIXEL_BYTES
        texts = data.count(b'"') * FLOAT_BYTES // 2
        memory = max(parsing_memory(data, number, max_arrays) + texts, (1 + BASE64_COPIES) * len(data))
    with request.reserve(memory):
        instances, parameters, decimals = _parse(data, shape, max_arrays, items, settings)
        if texts := sum(not isinstance(one, list) for one in instances.values()):
            check_pictures(texts, settings)
        images, files = _read_instances(instances, shape, items, decimals=decimals)
        del instances
        reserve_decoded([file for _, _, file in files], request)
    return images | read_files(files, bundle, request, items), parameters


def _read_instances(
    instances: dict[int, Instance], shape: tuple[int, ...], items: ItemErrors, *, decimals: bool
) -> tuple[dict[int, NetworkInput], list[File]]:
    """Arrays as images, and texts as files."""
    images: dict[int, NetworkInput] = {}
    files: list[File] = []
    for i, one in instances.items():
        try:
            if isinstance(one, list):
                images[i] = NetworkInput((decimals_to_image if decimals else to_image)(one, shape))
            else:
                files.append((i, f"instances[{i}]", decode_base64(one.b64 if isinstance(one, ImageFile) else one)))
        except RequestError as error:
            items.add(error, i, f"instances[{i}].b64" if isinstance(one, ImageFile) else f"instances[{i}]")
    return images, files


def _parse(
    data: bytes, shape: tuple[int, ...], max_arrays: int, items: ItemErrors, settings: Settings
) -> tuple[dict[int, Instance], BodyParameters | None, bool]:
    """The instances by their index, the parameters of the body, and whether numbers may have decimals."""
    decoder, first = _decoder(len(shape), Pixel), None
    if not items.per_item:
        try:
            request = decode_json(data, decoder, max_arrays)
            check_rows(len(request.instances), settings, "instances")
            return dict(enumerate(request.instances)), request.parameters, False
        except BadRequest as error:
            first = _with_hint(error, shape)
    document = decode_json(data, ANYTHING, max_arrays)
    instances = to_instances(without_other_fields(document), shape)
    check_rows(len(instances), settings, "instances")
    if first and b"." not in data and isinstance(document, dict) and instances == document.get("instances"):
        raise first  # it says more than what follows
    kind = _instance_type(len(shape), Decimal)
    valid = valid_instances(instances, kind, items, lambda error: _with_hint(error, shape))
    return valid, validate({"instances": [], **other_fields(document)}, decoder.type).parameters, True


def _with_hint(error: BadRequest, shape: tuple[int, ...]) -> BadRequest:
    hint = f': an instance is {{"b64": "<an image file>"}}, or {shown(shape)}'
    return BadRequest(f"{error}{hint if str(error).startswith('instances[') else ''}")
