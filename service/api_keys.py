"""API keys as they are written in settings and files: `KEY`, which may predict, or `scope+scope:KEY`."""

import re
from typing import NamedTuple

SCOPES = ("predict", "metrics", "admin")
MIN_KEY = 16  # characters
KEY = re.compile(rf"[A-Za-z0-9._~+/=-]{{{MIN_KEY},256}}")


class ApiKey(NamedTuple):
    """A key, and what it is for."""

    scopes: frozenset[str]
    key: str


def parse_key(text: str) -> ApiKey:
    """`key`, which may predict, or `scope+scope:key`; the message never has the key."""
    scopes, colon, key = text.strip().rpartition(":")
    names = frozenset(scopes.split("+")) if colon else frozenset(SCOPES[:1])
    if not names <= {*SCOPES}:
        raise ValueError(f"scopes of {', '.join(SCOPES)}, such as predict+metrics:KEY")
    if not KEY.fullmatch(key):
        raise ValueError(f"keys of {MIN_KEY} characters or more: letters, digits and . _ ~ + / = -")
    return ApiKey(names, key)


def parse_keys(text: str) -> tuple[ApiKey, ...]:
    """Keys with commas between them."""
    return tuple(parse_key(one) for one in text.split(","))
