"""The instances of a body of JSON one by one, so that each may have an error of its own."""

from collections.abc import Callable
from typing import Any

import msgspec

from service.errors import BadRequest
from service.protocols.parsing import validate
from service.protocols.v1.decoded import ItemErrors

ANYTHING = msgspec.json.Decoder()
OTHER_FIELDS = ("signature_name", "parameters")


def valid_instances(
    instances: list[Any], kind: Any, items: ItemErrors, explain: Callable[[BadRequest], BadRequest]
) -> dict[int, Any]:
    """Those that are of this kind, by their index; `explain` adds to the message about another one."""
    valid = {}
    for i, one in enumerate(instances):
        try:
            valid[i] = validate(one, kind, f"instances[{i}]")
        except BadRequest as error:
            items.add(explain(error), i)
    return valid


def without_other_fields(document: Any) -> Any:
    """A document without the fields that say more than its instances."""
    if not isinstance(document, dict):
        return document
    return {name: value for name, value in document.items() if name not in OTHER_FIELDS}


def other_fields(document: Any) -> dict[str, Any]:
    """The fields of a document that say more than its instances."""
    return {name: document[name] for name in OTHER_FIELDS if name in document} if isinstance(document, dict) else {}
