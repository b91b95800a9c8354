"""The OpenAPI documents: made from the routes, the types that they check with, and the models.

The document of the service has one path for all models, with plain schemas, so that any generator makes a client of it.
The document of a model has its features by name, so that people see them, and tools send rows that fit.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import flask
from werkzeug.routing import Rule

from service import __version__
from service.bundle.manifest import Bundle
from service.errors import RequestError
from service.http.messages import JSON
from service.inference.model import Model
from service.inference.repository import ModelRepository
from service.protocols.openapi import ByModel, ErrorBody, MediaTypes, Operation, Parameter
from service.protocols.openapi.schemas import detailed, plain, schema_of

VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
# The version of the specification, by whether the document is that of one model: only 3.1 has types by position.
SERVICE_OPENAPI, MODEL_OPENAPI = "3.0.3", "3.1.1"

TAGS = {
    "service": "the service itself",
    "V1": "TensorFlow Serving's and KServe's protocol",
    "V2": "the Open Inference Protocol",
}
SERVICE_DESCRIPTION = """\
Predictions of small neural networks: handwritten digits, and feature vectors.

Each model has a document of its own, with its features by name: `GET /v1/models/{name}/openapi.json`. On the page that
shows this document, it is chosen above.
"""
VARIABLES = {"name": "the name of a model", "version": "a version of the model"}

Document = dict[str, Any]
Route = tuple[Rule, Callable[..., Any], Operation]


def service_document(app: flask.Flask, models: ModelRepository) -> Document:
    """The document of all routes of an application, with an example of each of these models."""
    builder = _Builder(app, models)
    routes = list(_routes(app))
    rules = {rule.rule for rule, _, _ in routes}
    paths = {
        VARIABLE.sub(r"{\1}", rule.rule): builder.path_item(rule, view, operation)
        for rule, view, operation in routes
        if not (rule.rule.endswith("/") and rule.rule[:-1] in rules)
    }
    return builder.document(SERVICE_OPENAPI, "Digitalis", SERVICE_DESCRIPTION, paths, ".")


def model_document(app: flask.Flask, models: ModelRepository, model: Model, *, versioned: bool) -> Document:
    """The document of a model's own routes: those without a version, or those of its version."""
    builder = _Builder(app, models, model.bundle)
    name, version = model.id
    paths = {
        VARIABLE.sub(lambda variable: {"name": name, "version": version}[variable[1]], rule.rule): builder.path_item(
            rule, view, operation
        )
        for rule, view, operation in _routes(app)
        if rule.arguments == ({"name", "version"} if versioned else {"name"})
    }
    here = f"/v1/models/{name}/versions/{version}/" if versioned else f"/v1/models/{name}/"
    description = f"The model {model.id}: {model.bundle.task}."
    return builder.document(MODEL_OPENAPI, name, description, paths, "/".join([".."] * (here.count("/") - 1)))


def _routes(app: flask.Flask) -> Iterator[Route]:
    """Every rule whose view is described."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        operation = getattr(view, "operation", None)
        if operation is not None:
            yield rule, view, operation


class _Builder:
    """Makes a document: that of a bundle's model, or without one, that of all models."""

    def __init__(self, app: flask.Flask, models: ModelRepository, bundle: Bundle | None = None) -> None:
        self._app = app
        self._models = models
        self._bundle = bundle
        self._components: dict[str, Document] = {}
        self._tags: set[str] = set()

    def document(self, openapi: str, title: str, description: str, paths: Document, root: str) -> Document:
        """The document; `root` is the service's root, relative to it, as a proxy may have put a prefix before both."""
        return {
            "openapi": openapi,
            "info": {
                "title": title,
                "version": __version__,
                "description": description,
                "license": {"name": "Apache-2.0"},
            },
            "servers": [{"url": root}],
            "security": [],
            "tags": [{"name": tag, "description": TAGS[tag]} for tag in TAGS if tag in self._tags],
            "paths": paths,
            "components": {kind: dict(sorted(found.items())) for kind, found in self._components.items()},
        }

    def path_item(self, rule: Rule, view: Callable[..., Any], operation: Operation) -> Document:
        """What the methods of a route do."""
        summary, _, more = inspect.cleandoc(view.__doc__ or "").partition("\n\n")
        found: Document = {"summary": summary.replace("\n", " ")} | ({"description": more} if more else {})
        found["operationId"] = self._operation_id(rule)
        found["tags"] = [tag := {"v1": "V1", "v2": "V2"}.get(rule.rule.split("/")[1], "service")]
        self._tags.add(tag)
        if parameters := [*self._path_variables(rule), *map(self._parameter, self._of(operation.parameters))]:
            found["parameters"] = parameters
        if operation.request_body is not None:
            found["requestBody"] = self._request_body(rule, operation, self._of(operation.request_body))
        found["responses"] = self._responses(operation)
        return {method.lower(): found for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})}

    def _of(self, found: Any) -> Any:
        return found(self._bundle) if isinstance(found, ByModel) else found

    def _operation_id(self, rule: Rule) -> str:
        """The name of the view, with the protocol; and the variables that not all of its rules have."""
        blueprint, name = rule.endpoint.partition(".")[0], rule.endpoint.rpartition(".")[2]
        rules = list(self._app.url_map.iter_rules(rule.endpoint))
        everywhere = set.intersection(*(set(one.arguments) for one in rules))
        more = [variable for variable in VARIABLE.findall(rule.rule) if variable not in everywhere]
        return "_".join([*([blueprint] if blueprint in ("v1", "v2") else []), name, *more])

    def _path_variables(self, rule: Rule) -> Iterator[Document]:
        if self._bundle is not None:
            return
        for variable in VARIABLE.findall(rule.rule):
            found = {"name": variable, "in": "path", "required": True, "schema": {"type": "string"}}
            newest = {name: self._models.versions(name)[0] for name in self._models.names()}
            values = {"name": {name: name for name in newest}, "version": newest}
            if variable in values:
                found["description"] = VARIABLES[variable]
                found["examples"] = {name: {"value": value} for name, value in values[variable].items()}
            yield self._refer("parameters", variable, found)

    def _parameter(self, parameter: Parameter) -> Document:
        found = {
            "name": parameter.name,
            "in": parameter.location,
            "schema": plain(dict(parameter.schema)),
            "description": parameter.description,
        }
        return self._refer("parameters", parameter.name, found)

    def _request_body(self, rule: Rule, operation: Operation, media_types: MediaTypes) -> Document:
        content = self._content(media_types)
        if operation.example is None:
            return {"content": content, "required": False}
        if self._bundle is not None:
            content[JSON]["example"] = operation.example(self._bundle)
            return {"content": content, "required": True}
        bundles = [self._models.find(name).bundle for name in self._models.names()]
        content[JSON]["examples"] = {bundle.name: {"value": operation.example(bundle)} for bundle in bundles}
        return self._refer("requestBodies", rule.endpoint.rpartition(".")[2], {"content": content, "required": True})

    def _responses(self, operation: Operation) -> Document:
        content = self._content(self._of(operation.response))
        responses: Document = {"200": {"description": "Success.", "content": content}}
        by_status: dict[int, list[type[RequestError]]] = {}
        every: list[type[RequestError]] = [*operation.errors, RequestError]
        for error in every:
            by_status.setdefault(error.status, []).append(error)
        for status, errors in sorted(by_status.items()):
            description = " Or: ".join(map(_error_description, errors))
            name = "Or".join("InternalError" if error is RequestError else error.__name__ for error in errors)
            response = {"description": description, "content": self._content({JSON: ErrorBody})}
            responses[str(status)] = self._refer("responses", name, response)
        return responses

    def _content(self, media_types: Mapping[str, Any]) -> Document:
        """Each media type with its schema, whose parts become components."""
        content: Document = {}
        for name, kind in media_types.items():
            schema, parts = schema_of(kind, detailed if self._bundle else plain)
            for part, found in parts.items():
                self._refer("schemas", part, found)
            content[name] = {"schema": schema}
        return content

    def _refer(self, kind: str, name: str, found: Document) -> Document:
        """Make it a component, and refer to it. Raises `ValueError` for two of one name that differ."""
        if self._components.setdefault(kind, {}).setdefault(name, found) != found:
            raise ValueError(f"two different {kind} are named {name}")
        return {"$ref": f"#/components/{kind}/{name}"}


def _error_description(error: type[RequestError]) -> str:
    if error is RequestError:
        return f"{HTTPStatus(500).phrase}; the log says more."
    return inspect.cleandoc(error.__doc__ or "").split("\n")[0]
