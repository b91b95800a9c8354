"""The options of a V1 request: query parameters, of which some may stand in the body of JSON as `parameters` too."""

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

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

PARAMETERS = (DEBUG, IGNORE, ERRORS, ABSTAIN)  # of the document of all models: `format` changes the types


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


def described_parameters(bundle: Bundle) -> list[Parameter]:
    """Those of the model's own document, whose types are exact: with `errors` any prediction may be missing."""
    return [parameter for parameter in parameters_of(bundle) if parameter != ERRORS]


def read_options(request: Request, bundle: Bundle) -> Options:
    """The options of the query; raises `BadRequest` for an unknown value, or one that the model does not have."""
    if not request.environ.get("QUERY_STRING"):
        return ABSTAINING if request.settings.abstain else DEFAULT
    _check_names(request, bundle)
    debug = _one_of(request, "debug", ("ink",), "debug=ink, which shows the image that the network got")
    if debug and not bundle.takes_images:
        raise BadRequest(f"debug=ink: {bundle.name} takes no images")
    per_item = _one_of(request, "errors", ("item",), "errors=item, which gives each instance an error of its own")
    if per_item and bundle.takes_tensors:
        raise BadRequest(f"errors=item: {bundle.name} takes tensors, of which all are read together")
    form = _format(request, bundle)
    if form == "scores" and "true" in request.query("abstain"):
        raise BadRequest("abstain=true and format=scores: bare scores have no label that could be left out")
    if debug and form == "scores":
        raise BadRequest("debug=ink and format=scores: there is no place for an image beside bare scores")
    return Options(
        format=form,
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


def _check_names(request: Request, bundle: Bundle) -> None:
    """Raise `BadRequest` for an option of other models, and for what is probably a misspelt one."""
    options = [option.name for option in parameters_of(bundle)]
    for name in parse_qs(request.environ["QUERY_STRING"], keep_blank_values=True, errors="replace"):
        if name in {option.name for option in PARAMETERS} - {*options, "debug", "abstain", "format", "errors"}:
            raise BadRequest(f"{name}: {bundle.name} has no such option: it has {', '.join(options)}")
        if name not in options and (close := get_close_matches(name, options, n=1, cutoff=0.75)):
            raise BadRequest(f"{name[:40]}: unknown option: did you mean {close[0]}?")


def _one_of(request: Request, name: str, values: tuple[str, ...], expected: str) -> str:
    """The value of a query parameter, empty if there is none; it may be sent several times with one value."""
    found = request.query(name)
    for value in found:
        if value not in values:
            raise BadRequest(f"{name}={value}: expected {expected}")
    if len(set(found)) > 1:
        raise BadRequest(f"{name} is both {found[0]} and {found[1]}: send it once")
    return found[0] if found else ""


def _format(request: Request, bundle: Bundle) -> Format:
    expected = "named (probabilities and values by name), lists, or scores (bare lists)"
    text = _one_of(request, "format", FORMATS, expected)
    found: Format = next((one for one in FORMATS if one == text), "named")
    _check_format(found, bundle)
    return found


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
