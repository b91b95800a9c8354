"""What the views say of themselves for the OpenAPI documents: what each accepts and returns.

    schemas    types of msgspec -> JSON schemas, in the words of OpenAPI 3.1 or of 3.0
    document   the routes, with what their views say -> the document of the service, and that of a model

Where a view's request depends on the model, `ByModel` has what holds for every model, which is in the document of the
service, and what one bundle has, which is in the document of its model.
"""

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from service.bundle.manifest import Bundle
from service.errors import RequestError
from service.http.messages import JSON

MediaTypes = Mapping[str, Any]  # a media type, and the msgspec type or JSON schema of its content; None for bytes
View = TypeVar("View", bound=Callable[..., Any])
T = TypeVar("T")


class ErrorBody(msgspec.Struct):
    """What was wrong, where, and what would be right."""

    error: str


@dataclass(frozen=True)
class Parameter:
    """A parameter outside the path: its name, its location (`query`, `header`), and its JSON schema."""

    name: str
    location: str
    schema: dict[str, Any]
    description: str


@dataclass(frozen=True)
class ByModel(Generic[T]):
    """What depends on the model: what holds for every one, and what one bundle has."""

    every: T
    of: Callable[[Bundle], T]

    def __call__(self, bundle: Bundle | None) -> T:
        """What this bundle has; None asks for what holds for every one."""
        return self.every if bundle is None else self.of(bundle)


@dataclass(frozen=True)
class Operation:
    """What a view returns, the body that it reads (if it does), its errors and parameters, and an example body."""

    response: MediaTypes | ByModel[MediaTypes]
    request_body: MediaTypes | ByModel[MediaTypes] | None = None
    errors: Sequence[type[RequestError]] = ()
    parameters: Sequence[Parameter] | ByModel[Sequence[Parameter]] = ()
    example: Callable[[Bundle], Any] | None = None


def describe(
    response: Any,
    request_body: MediaTypes | ByModel[MediaTypes] | None = None,
    errors: Sequence[type[RequestError]] = (),
    parameters: Sequence[Parameter] | ByModel[Sequence[Parameter]] = (),
    example: Callable[[Bundle], Any] | None = None,
) -> Callable[[View], View]:
    """Describe a view: it returns this type as JSON (or each media type of a mapping), and so on."""
    media_types = response if isinstance(response, Mapping | ByModel) else {JSON: response}

    def mark(view: View) -> View:
        view.operation = Operation(media_types, request_body, errors, parameters, example)  # type: ignore[attr-defined]
        return view

    return mark


def hidden(view: View) -> View:
    """Mark a view that the documents leave out."""
    view.operation = None  # type: ignore[attr-defined]
    return view


def merged(name: str, description: str, *kinds: type[msgspec.Struct], **narrowed: Any) -> type[msgspec.Struct]:
    """A type with the fields of all of these types; required are those that all of them require.

    `narrowed` are the types of fields that have fewer than they could.
    """
    types: dict[str, Any] = {}
    for field in itertools.chain(*map(msgspec.structs.fields, kinds)):
        types[field.name] = types[field.name] | field.type if field.name in types else field.type
    types |= narrowed
    required = set.intersection(*({one.name for one in msgspec.structs.fields(kind) if one.required} for kind in kinds))
    fields: list[Any] = [
        (field, kind) if field in required else (field, kind | msgspec.UnsetType, msgspec.UNSET)
        for field, kind in types.items()
    ]
    return msgspec.defstruct(name, fields, namespace={"__doc__": inspect.cleandoc(description)}, kw_only=True)
