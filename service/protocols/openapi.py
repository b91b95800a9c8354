"""What the service answers to, in OpenAPI 3.1: made from its routes, the types that they check with, and the models.

A view says with `described` what it takes and gives. A path whose body depends on the model is written out for each
model that is there, so that a reader sees its features by name, and a tool sends rows that fit.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import msgspec
from flask import Flask
from werkzeug.routing import Rule

from service import __version__
from service.bundle.manifest import Bundle
from service.errors import RequestError
from service.inference.repository import ModelRepository
from service.protocols.parsing import JSON

VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")

TAGS = [
    {"name": "service", "description": "the service itself"},
    {"name": "V1", "description": "TensorFlow Serving's and KServe's protocol; predictions are below, by model"},
    {"name": "V2", "description": "the Open Inference Protocol; inference is below, by model"},
]

Document = dict[str, Any]
Media = Mapping[str, Any]  # a media type, and the msgspec type of what it holds; None for bytes
OfBundle = Callable[[Bundle], Media]


class Refusal(msgspec.Struct):
    """What was wrong, where, and what would be right."""

    error: str


@dataclass(frozen=True)
class Parameter:
    """One that is not in the path: its name, where it is (`query`, `header`), and what it holds, as a JSON schema."""

    name: str
    place: str
    schema: Document
    meaning: str


@dataclass(frozen=True)
class Operation:
    """What a view takes, if it reads a body, what it gives, and how it can refuse."""

    gives: Media | OfBundle
    takes: Media | OfBundle | None = None
    refuses: Sequence[type[RequestError]] = ()
    parameters: Callable[[Bundle], Sequence[Parameter]] | None = None
    example: Callable[[Bundle], Any] | None = None


def described(
    gives: Any,
    takes: Media | OfBundle | None = None,
    refuses: Sequence[type[RequestError]] = (),
    parameters: Callable[[Bundle], Sequence[Parameter]] | None = None,
    example: Callable[[Bundle], Any] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a view: it gives this type as JSON (or each media type of a mapping), and so on."""
    media = gives if isinstance(gives, Mapping) or inspect.isfunction(gives) else {JSON: gives}

    def mark(view: Callable[..., Any]) -> Callable[..., Any]:
        view.operation = Operation(media, takes, refuses, parameters, example)  # type: ignore[attr-defined]
        return view

    return mark


def undescribed(view: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a view of ours that the document leaves out."""
    view.operation = None  # type: ignore[attr-defined]
    return view


def document(app: Flask, models: ModelRepository) -> Document:
    """The whole of it."""
    schemas: Document = {}
    paths: Document = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        operation = getattr(app.view_functions[rule.endpoint], "operation", None)
        if operation is not None:
            for path, item in _items(rule, operation, app.view_functions[rule.endpoint], models, schemas):
                paths[path] = item
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Digitalis",
            "version": __version__,
            "summary": "Answers of small neural networks: handwritten digits, and vectors of features.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": TAGS,
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _items(
    rule: Rule, operation: Operation, view: Callable[..., Any], models: ModelRepository, schemas: Document
) -> Iterator[tuple[str, Document]]:
    """Each path of a rule, with its methods: one for each model where the model decides what may be sent."""
    path = VARIABLE.sub(r"{\1}", rule.rule)
    methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    for name in models.names() if operation.example else [None]:
        bundle = models.find(name).bundle if name else None
        item = _operation(operation, view, bundle, schemas)
        item["tags"] = [name or {"v1": "V1", "v2": "V2"}.get(path.split("/")[1], "service")]
        variables = [one for one in VARIABLE.findall(rule.rule) if not (name and one == "name")]
        item["parameters"] = [_variable(one, name, models) for one in variables] + item.get("parameters", [])
        named = path.replace("{name}", name) if name else path
        yield named, {one.lower(): item | {"operationId": re.sub(r"\W+", "_", one.lower() + named)} for one in methods}


def _variable(variable: str, name: str | None, models: ModelRepository) -> Document:
    """A variable of a path: the name or the version of a model that is there, or any text."""
    known = {
        "name": models.names(),
        "version": sorted({version for one, version in models.titles() if name in (None, one)}),
    }
    schema = {"type": "string"} | ({"enum": known[variable]} if variable in known else {})
    return {"name": variable, "in": "path", "required": True, "schema": schema}


def _operation(operation: Operation, view: Callable[..., Any], bundle: Bundle | None, schemas: Document) -> Document:
    summary, _, more = inspect.cleandoc(view.__doc__ or "").partition("\n\n")
    found: Document = {"summary": summary.replace("\n", " ")} | ({"description": more} if more else {})
    takes = operation.takes(bundle) if bundle and callable(operation.takes) else operation.takes
    if isinstance(takes, Mapping):
        body = _content(takes, schemas, f"{bundle.name}." if bundle and callable(operation.takes) else "")
        if bundle and operation.example:
            body[JSON]["example"] = operation.example(bundle)
        found["requestBody"] = {"content": body, "required": bundle is not None}
    if bundle and operation.parameters:
        found["parameters"] = [
            {"name": one.name, "in": one.place, "schema": one.schema, "description": one.meaning}
            for one in operation.parameters(bundle)
        ]
    answers: Document = {}
    gives = operation.gives if isinstance(operation.gives, Mapping) else operation.gives(cast(Bundle, bundle))
    answers["200"] = {"description": "The answer.", "content": _content(gives, schemas)}
    by_status: dict[int, list[str]] = {}
    errors: list[type[RequestError]] = [*operation.refuses, RequestError]
    for error in errors:
        by_status.setdefault(error.status, []).append(_meaning(error))
    for status, meanings in sorted(by_status.items()):
        answers[str(status)] = {"description": " Or: ".join(meanings), "content": _content({JSON: Refusal}, schemas)}
    return found | {"responses": answers}


def _meaning(error: type[RequestError]) -> str:
    if error is RequestError:
        return f"{HTTPStatus(500).phrase}; the log says more."
    return inspect.cleandoc(error.__doc__ or "").split("\n")[0]


def _content(media: Media, schemas: Document, prefix: str = "") -> Document:
    """Each media type with its schema, whose parts are put beside the others; a model's own types have its prefix."""
    content: Document = {}
    for name, kind in media.items():
        if kind is None:
            content[name] = {}
        elif isinstance(kind, dict):
            content[name] = {"schema": kind}
        else:
            reference = f"#/components/schemas/{prefix}{{name}}"
            (schema,), parts = msgspec.json.schema_components([kind], ref_template=reference)
            schemas |= {f"{prefix}{part}": found for part, found in parts.items()}
            content[name] = {"schema": schema}
    return content
