"""The options of a V1 request: query parameters, of which some may stand in the body of JSON as `parameters` too."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from service.bundle.manifest import Bundle
from service.errors import BadRequest
from service.http.messages import Request
from service.protocols.openapi import Parameter

Format = Literal["named", "lists", "scores"]
FORMATS: tuple[Format, ...] = ("named", "lists", "scores")

DEBUG = Parameter("debug", "query", {"enum": ["ink"]}, "show the image that the network got for each picture")
IGNORE = Parameter("ignore", "query", {"type": "string"}, "columns that are no features, with commas between them")
ABSTAIN = Parameter("abstain", "query", {"enum": ["true", "false"]}, "whether unsure predictions have no label")
ERRORS = Parameter("errors", "query", {"enum": ["item"]}, "an instance that cannot be read gets an error of its own")
FORMAT = Parameter(
    "format", "query", {"enum": [*FORMATS]}, "probabilities and values by name, as lists, or as bare lists of scores"
)

PARAMETERS = (DEBUG, IGNORE, ERRORS, ABSTAIN, FORMAT)


class BodyParameters(msgspec.Struct, forbid_unknown_fields=True):
    """What a body of JSON may say as `parameters`; it wins over the query."""

    format: Annotated[Format | None, Meta(description="as the query parameter")] = None
    abstain: Annotated[bool | None, Meta(description="as the query parameter")] = None


PARAMETERS_FIELD: tuple[str, Any, None] = ("parameters", BodyParameters | None, None)
"""The field of a request's type that holds them."""


@dataclass(frozen=True)
class Options:
    """How a request is read and answered.

    `format`: probabilities and values are objects by name (`named`), lists in the model's order (`lists`), or a
    prediction is such a list and nothing else (`scores`), as TensorFlow Serving's are. With `abstain`, unsure
    predictions have no label. With `per_item`, an instance that cannot be read has an error in place of a prediction.
    """

    format: Format = "named"
    abstain: bool = False
    per_item: bool = False
    show_images: bool = False
    ignored: frozenset[str] = frozenset()

    def with_body(self, parameters: BodyParameters) -> "Options":
        """These, with what the body says in their place."""
        found = {name: getattr(parameters, name) for name in parameters.__struct_fields__}
        return replace(self, **{name: value for name, value in found.items() if value is not None})


DEFAULT, ABSTAINING = Options(), Options(abstain=True)


def parameters_of(bundle: Bundle) -> list[Parameter]:
    """The query parameters that a model has."""
    of_input = [DEBUG] * bundle.takes_images + [IGNORE] * bool(bundle.features)
    of_items = [] if bundle.takes_tensors else [ERRORS]
    of_outputs = [] if bundle.takes_tensors or bundle.task == "mixture" else [FORMAT]
    return of_input + of_items + [ABSTAIN] * (bundle.abstention is not None) + of_outputs


def read_options(request: Request, bundle: Bundle) -> Options:
    """The options of the query; raises `BadRequest` for an unknown value, or one that the model does not have."""
    if not request.environ.get("QUERY_STRING"):
        return ABSTAINING if request.settings.abstain else DEFAULT
    debug = _one_of(request, "debug", ("ink",), "debug=ink, which shows the image that the network got")
    if debug and not bundle.takes_images:
        raise BadRequest(f"debug=ink: {bundle.name} takes no images")
    per_item = _one_of(request, "errors", ("item",), "errors=item, which gives each instance an error of its own")
    if per_item and bundle.takes_tensors:
        raise BadRequest(f"errors=item: {bundle.name} takes tensors, of which all are read together")
    return Options(
        format=_format(request, bundle),
        abstain=_abstain(request, bundle),
        per_item=bool(per_item),
        show_images=bool(debug),
        ignored=_ignored(request, bundle),
    )


def check_parameters(parameters: BodyParameters, bundle: Bundle) -> None:
    """Raise `BadRequest` for parameters of a body that the model does not have."""
    if parameters.format:
        _check_format(parameters.format, bundle)
    if parameters.abstain:
        _check_abstain(bundle)


def _one_of(request: Request, name: str, values: tuple[str, ...], expected: str) -> str:
    """The value of a query parameter, empty if there is none; the last one, if it is sent several times."""
    found = request.query(name)
    for value in found:
        if value not in values:
            raise BadRequest(f"{name}={value}: expected {expected}")
    if len(set(found)) > 1:
        raise BadRequest(f"{name} is both {found[0]} and {found[1]}: send it once")
    return found[0] if found else ""


def _format(request: Request, bundle: Bundle) -> Format:
    expected = "named (probabilities and values by name), lists, or scores (bare lists)"
    found = next((one for one in FORMATS if one == _one_of(request, "format", FORMATS, expected)), None)
    if found:
        _check_format(found, bundle)
    return found or "named"


def _check_format(found: Format, bundle: Bundle) -> None:
    if found != "named" and (bundle.takes_tensors or bundle.task == "mixture"):
        raise BadRequest(f"format={found}: {bundle.name} has one format: it is a model of task {bundle.task}")


def _abstain(request: Request, bundle: Bundle) -> bool:
    expected = "true (unsure predictions have no label) or false"
    found = _one_of(request, "abstain", ("true", "false"), expected)
    if found == "true":
        _check_abstain(bundle)
    return found == "true" if found else request.settings.abstain


def _check_abstain(bundle: Bundle) -> None:
    if bundle.abstention is None:
        raise BadRequest(f"abstain=true: {bundle.name} has no thresholds below which a prediction is unsure")


def _ignored(request: Request, bundle: Bundle) -> frozenset[str]:
    """The columns to be left out of rows."""
    ignored = frozenset(name for value in request.query("ignore") for name in value.split(",") if name)
    if known := [feature.name for feature in bundle.features if feature.name in ignored]:
        raise BadRequest(f"ignore={known[0]}: it is a feature, which the model needs")
    return ignored
