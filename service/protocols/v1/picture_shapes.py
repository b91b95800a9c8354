"""Pictures in JSON as people nest them -> `instances`: files in base64, and arrays of the model's shape.

{"image": "<base64>"}, {"b64": "..."}, {"images": [...]}, [...]      without `instances`
{"image_bytes": {"b64": "..."}}, {"image": [[...], ...]}             an instance below the name of an input
[0, 0, ..., 0], [[[0], ...], ...], [[[0, ...], ...]]                 an array that is flat, or has a dimension of 1 more
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

from service.errors import BadRequest

LISTS = ("instances", "inputs", "data")  # fields that may hold pictures, one after the other


def to_instances(document: Any, shape: tuple[int, ...]) -> list[Any]:
    """The pictures of a document, as an instance has them; what has no such shape is returned as it is.

    Raises `BadRequest` for a number, or nothing, in place of pictures.
    """
    found = document
    if isinstance(document, dict):
        lists = (document[key] for key in LISTS if key in document)
        found = next(lists, next(iter(document.values())) if len(document) == 1 else document)
        if isinstance(found, dict) and len(found) == 1 and isinstance(next(iter(found.values())), list):
            (found,) = found.values()  # the only input by its name
    if not isinstance(found, list | dict | str):
        raise BadRequest('the body: expected {"instances": [...]}')
    if not isinstance(found, list) or to_shape(found, shape) is not None:
        found = [found]
    return [_instance(one, shape) for one in found]


def _instance(one: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(one, dict) and len(one) == 1 and "b64" not in one:
        (one,) = one.values()
    if not isinstance(one, list):
        return one
    array = to_shape(one, shape)
    return one if array is None else array


def to_shape(nested: list[Any], shape: tuple[int, ...]) -> list[Any] | None:
    """Numbers that are nested as the shape is, or flat, or in dimensions of 1 besides, as lists of this shape."""
    lengths = [*_lengths(nested)]
    squeezed = [length for length in lengths if length != 1]
    flat = len(squeezed) <= 1
    if math.prod(lengths) != math.prod(shape) or not (flat or squeezed == [length for length in shape if length != 1]):
        return None
    leaves = nested
    for length in lengths[1:]:
        if any(not isinstance(one, list) or len(one) != length for one in leaves):
            return None
        leaves = [*itertools.chain.from_iterable(leaves)]
    if any(type(one) not in (int, float) for one in leaves):
        return None
    for length in reversed(shape[1:]):
        leaves = [leaves[i : i + length] for i in range(0, len(leaves), length)]
    return leaves


def _lengths(nested: Any) -> Iterator[int]:
    """Those of a list, of its first element, and so on."""
    while isinstance(nested, list) and nested:
        yield len(nested)
        nested = nested[0]
