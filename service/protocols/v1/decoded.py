"""What is left of a V1 request when its body has been read: arrays, and what the response says of each instance."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from service.bundle.signature import Arrays
from service.errors import RequestError, ServiceOverloaded
from service.images.network_input import NetworkInput
from service.protocols.v1.options import BodyParameters


@dataclass(frozen=True)
class DecodedRequest:
    """The inputs by name, a row for each instance that could be read.

    `images` say how each image was made, `warnings` what is doubtful in a row, by its index. `errors` are those of the
    other instances, by their index in the request. `parameters` are those of the body.
    """

    inputs: Arrays
    images: Sequence[NetworkInput] = ()
    warnings: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    errors: Mapping[int, str] = field(default_factory=dict)
    parameters: BodyParameters | None = None


@dataclass(frozen=True)
class Rows:
    """Rows of numbers, the index of each in the request, and where in the body the instance of an index is."""

    numbers: list[tuple[float, ...]]
    indices: Sequence[int]
    locate: Callable[[int], str]
    warnings: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


class ItemErrors:
    """Errors of single instances: the first one is raised, or, with `per_item`, each is kept for its instance."""

    def __init__(self, *, per_item: bool) -> None:
        self.per_item = per_item
        self.found: dict[int, str] = {}

    @contextlib.contextmanager
    def of(self, index: int, where: str = "") -> Iterator[None]:
        """Around what reads the instance of this index, `where` in the body it is."""
        try:
            yield
        except ServiceOverloaded:
            raise
        except RequestError as error:
            message = f"{where}: {error}" if where else str(error)
            if not self.per_item:
                raise type(error)(message) from None
            self.found.setdefault(index, message)
