"""What is left of a V1 request when its body has been read: arrays, and what the response says of each instance."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from service.bundle.signature import Arrays
from service.errors import RequestError, ServiceOverloaded
from service.images.network_input import NetworkInput
from service.protocols.v1.options import BodyParameters

Warnings = Mapping[int, tuple[str, ...]]  # the index of a row -> what is doubtful in it
MAX_MESSAGE = 300  # characters of the error of one instance, of which there may be thousands
NOTHING: Mapping[int, tuple[str, ...]] = MappingProxyType({})


class DecodedRequest(NamedTuple):
    """The inputs by name, a row for each instance that could be read.

    `images` say how each image was made, if the response is to show it. `errors` are those of the other instances, by
    their index in the request. `parameters` are those of the body.
    """

    inputs: Arrays
    images: Sequence[NetworkInput] = ()
    warnings: Warnings = NOTHING
    errors: Mapping[int, str] = MappingProxyType({})
    parameters: BodyParameters | None = None


class Rows(NamedTuple):
    """Rows of numbers, the index of each in the request, and where in the body the instance of an index is."""

    numbers: list[tuple[float, ...]]
    indices: Sequence[int]
    locate: Callable[[int], str]
    warnings: Warnings = NOTHING


class ItemErrors:
    """Errors of single instances: the first one is raised, or, with `per_item`, each is kept for its instance."""

    def __init__(self, *, per_item: bool) -> None:
        self.per_item = per_item
        self.found: dict[int, str] = {}

    def add(self, error: RequestError, index: int, where: str = "") -> None:
        """Raise the error of the instance of this index, with its place in the body, or keep it."""
        message = f"{where}: {error}" if where else str(error)
        if not self.per_item or isinstance(error, ServiceOverloaded):
            raise type(error)(message) from None
        self.found.setdefault(index, message[:MAX_MESSAGE])
