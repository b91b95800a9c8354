"""JSON schemas of types: as msgspec writes them, for OpenAPI 3.1; or plain ones, which OpenAPI 3.0 has too.

Many tools read 3.0 only, or only that much of 3.1. So a plain schema has no list of types, no null, no `prefixItems`
and no `const`. It is valid in 3.1, too, where only `nullable` has no meaning.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import msgspec

Schema = dict[str, Any]
Change = Callable[[Schema], Schema]

BYTES = {"type": "string", "format": "binary"}
"""Bytes that are the body, or a part of a form: pages show a file picker for it, in 3.0 and in 3.1."""

NULL = {"type": "null"}


def schema_of(kind: Any, change: Change) -> tuple[Schema, dict[str, Schema]]:
    """The schema of a type (or this schema; None for bytes), and those that it refers to, by name."""
    if kind is None:
        return BYTES, {}
    if isinstance(kind, dict):
        return kind, {}
    (schema,), parts = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
    return _changed(schema, change), {name: _changed(part, change) for name, part in parts.items()}


def detailed(schema: Schema) -> Schema:
    """As msgspec writes it, for 3.1, apart from what JSON cannot express or generators cannot read."""
    if isinstance(schema.get("default"), float) and math.isinf(schema["default"]):
        del schema["default"]  # msgspec writes it as null
    if schema.get("items") is False:
        del schema["items"]  # `maxItems` says it, too
    if "contentEncoding" in schema:
        del schema["contentEncoding"]  # msgspec reads bytes in JSON as base64, and here they are a file
    if schema.get("type") == "array" and "prefixItems" not in schema:
        schema.setdefault("items", {})
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"])
    return schema


def plain(schema: Schema) -> Schema:
    """In words that 3.0 has, too. Without default values, as generators make fields required that have one."""
    schema = detailed(schema)
    for word in ("title", "default"):
        schema.pop(word, None)
    if NULL in schema.get("anyOf", ()):
        schema |= _nullable([one for one in schema.pop("anyOf") if one != NULL])
    if "prefixItems" in schema:
        schema["items"] = _any_of(schema.pop("prefixItems"))
    if schema.get("type") == "object" and "properties" not in schema:
        schema.setdefault("additionalProperties", {})
    if all(isinstance(value, str) for value in schema.get("enum", [None])):
        schema["type"] = "string"
    if schema.get("required") == []:
        del schema["required"]
    return schema


def _nullable(kinds: list[Schema]) -> Schema:
    kind = _any_of(kinds)
    return {"nullable": True} | ({"allOf": [kind]} if "$ref" in kind else kind)


def _any_of(kinds: list[Schema]) -> Schema:
    """The only one of these, or any of them."""
    unique = [kind for i, kind in enumerate(kinds) if kind not in kinds[:i]]
    return unique[0] if len(unique) == 1 else {"anyOf": unique}


def _changed(schema: Schema, change: Change) -> Schema:
    """A copy of a schema in which each schema is changed, the innermost first."""
    found = dict(schema)
    if "properties" in found:
        found["properties"] = {name: _changed(one, change) for name, one in found["properties"].items()}
    for word in ("items", "additionalProperties"):
        if isinstance(found.get(word), dict):
            found[word] = _changed(found[word], change)
    for word in ("anyOf", "prefixItems"):
        if word in found:
            found[word] = [_changed(one, change) for one in found[word]]
    return change(found)
