"""An OpenAPI 3.1 document: made from the routes, the types that they check with, and the models.

A view is decorated with `describe`, which says what it accepts and returns. A path whose body depends on the model is
written out for each model, so that people see its features by name, and tools send rows that fit.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar, cast

import flask
import msgspec
from werkzeug.routing import Rule

from service import __version__
from service.bundle.manifest import Bundle
from service.errors import RequestError
from service.http.messages import JSON
from service.inference.repository import ModelRepository

VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")

TAGS = [
    {"name": "service", "description": "the service itself"},
    {"name": "V1", "description": "TensorFlow Serving's and KServe's protocol; predictions are below, by model"},
    {"name": "V2", "description": "the Open Inference Protocol; inference is below, by model"},
]

Document = dict[str, Any]
MediaTypes = Mapping[str, Any]  # a media type, and the msgspec type or JSON schema of its content; None for bytes
ForBundle = Callable[[Bundle], MediaTypes]
View = TypeVar("View", bound=Callable[..., Any])


class ErrorBody(msgspec.Struct):
    """What was wrong, where, and what would be right."""

    error: str


@dataclass(frozen=True)
class Parameter:
    """A parameter outside the path: its name, its location (`query`, `header`), and its JSON schema."""

    name: str
    location: str
    schema: Document
    description: str


@dataclass(frozen=True)
class Operation:
    """What a view returns, the body that it reads (if it does), and its errors."""

    response: MediaTypes | ForBundle
    request_body: MediaTypes | ForBundle | None = None
    errors: Sequence[type[RequestError]] = ()
    parameters: Callable[[Bundle], Sequence[Parameter]] | None = None
    example: Callable[[Bundle], Any] | None = None


def describe(
    response: Any,
    request_body: MediaTypes | ForBundle | None = None,
    errors: Sequence[type[RequestError]] = (),
    parameters: Callable[[Bundle], Sequence[Parameter]] | None = None,
    example: Callable[[Bundle], Any] | None = None,
) -> Callable[[View], View]:
    """Describe a view: it returns this type as JSON (or each media type of a mapping), and so on."""
    media_types = response if isinstance(response, Mapping) or inspect.isfunction(response) else {JSON: response}

    def mark(view: View) -> View:
        view.operation = Operation(media_types, request_body, errors, parameters, example)  # type: ignore[attr-defined]
        return view

    return mark


def hidden(view: View) -> View:
    """Mark a view that the document leaves out."""
    view.operation = None  # type: ignore[attr-defined]
    return view


def document(app: flask.Flask, models: ModelRepository) -> Document:
    """The document of an application with these models."""
    schemas: Document = {}
    paths: Document = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        described = getattr(view, "operation", None)
        if described is not None:
            paths |= dict(_paths_of_rule(rule, described, view, models, schemas))
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Digitalis",
            "version": __version__,
            "summary": "Predictions of small neural networks: handwritten digits, and feature vectors.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": TAGS,
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _paths_of_rule(
    rule: Rule, operation: Operation, view: Callable[..., Any], models: ModelRepository, schemas: Document
) -> Iterator[tuple[str, Document]]:
    """Each path of a rule with its methods: one path for each model if the body depends on the model."""
    template = VARIABLE.sub(r"{\1}", rule.rule)
    methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    for name in models.names() if operation.example else [None]:
        bundle = models.find(name).bundle if name else None
        item = _operation(operation, view, bundle, schemas)
        item["tags"] = [name or {"v1": "V1", "v2": "V2"}.get(template.split("/")[1], "service")]
        variables = [one for one in VARIABLE.findall(rule.rule) if not (name and one == "name")]
        item["parameters"] = [_path_variable(one, name, models) for one in variables] + item.get("parameters", [])
        path = template.replace("{name}", name) if name else template
        yield path, {one.lower(): item | {"operationId": re.sub(r"\W+", "_", one.lower() + path)} for one in methods}


def _path_variable(variable: str, name: str | None, models: ModelRepository) -> Document:
    """A variable of a path: the name or the version of a model, or any text."""
    known = {
        "name": models.names(),
        "version": sorted({one.version for one in models.model_ids() if name in (None, one.name)}, key=int),
    }
    schema = {"type": "string"} | ({"enum": known[variable]} if variable in known else {})
    return {"name": variable, "in": "path", "required": True, "schema": schema}


def _operation(operation: Operation, view: Callable[..., Any], bundle: Bundle | None, schemas: Document) -> Document:
    summary, _, more = inspect.cleandoc(view.__doc__ or "").partition("\n\n")
    found: Document = {"summary": summary.replace("\n", " ")} | ({"description": more} if more else {})
    if body := _request_body(operation, bundle, schemas):
        found["requestBody"] = body
    if bundle and operation.parameters:
        found["parameters"] = [
            {"name": one.name, "in": one.location, "schema": one.schema, "description": one.description}
            for one in operation.parameters(bundle)
        ]
    return found | {"responses": _responses(operation, bundle, schemas)}


def _request_body(operation: Operation, bundle: Bundle | None, schemas: Document) -> Document | None:
    media_types, prefix = operation.request_body, ""
    if bundle and callable(media_types):
        media_types, prefix = media_types(bundle), f"{bundle.name}."
    if not isinstance(media_types, Mapping):
        return None
    content = _content(media_types, schemas, prefix)
    if bundle and operation.example:
        content[JSON]["example"] = operation.example(bundle)
    return {"content": content, "required": bundle is not None}


def _responses(operation: Operation, bundle: Bundle | None, schemas: Document) -> Document:
    by_bundle = operation.response
    media_types = by_bundle if isinstance(by_bundle, Mapping) else by_bundle(cast(Bundle, bundle))
    responses: Document = {"200": {"description": "Success.", "content": _content(media_types, schemas)}}
    by_status: dict[int, list[str]] = {}
    errors: list[type[RequestError]] = [*operation.errors, RequestError]
    for error in errors:
        by_status.setdefault(error.status, []).append(_error_description(error))
    for status, descriptions in sorted(by_status.items()):
        content = _content({JSON: ErrorBody}, schemas)
        responses[str(status)] = {"description": " Or: ".join(descriptions), "content": content}
    return responses


def _error_description(error: type[RequestError]) -> str:
    if error is RequestError:
        return f"{HTTPStatus(500).phrase}; the log says more."
    return inspect.cleandoc(error.__doc__ or "").split("\n")[0]


def _content(media_types: MediaTypes, schemas: Document, prefix: str = "") -> Document:
    """Each media type with its schema, whose parts are added to `schemas`; types of one model get its prefix."""
    content: Document = {}
    for name, kind in media_types.items():
        if kind is None:
            content[name] = {}
        elif isinstance(kind, dict):
            content[name] = {"schema": kind}
        else:
            reference = f"#/components/schemas/{prefix}{{name}}"
            (schema,), parts = msgspec.json.schema_components([kind], ref_template=reference)
            schemas |= {f"{prefix}{part}": _without_infinities(found) for part, found in parts.items()}
            content[name] = {"schema": schema}
    return content


def _without_infinities(part: Document) -> Document:
    """A part without default values that JSON cannot have: msgspec writes an infinity as null."""
    properties = part.get("properties", {})
    for name, found in properties.items():
        if isinstance(found.get("default"), float) and math.isinf(found["default"]):
            properties[name] = {key: value for key, value in found.items() if key != "default"}
    return part
