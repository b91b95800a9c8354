"""Who may ask: API keys with scopes, and the scope that each route needs.

A key is sent as `Authorization: Bearer KEY`, or as `X-API-Key: KEY`. Without any key in the settings everybody may ask.
"""

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar
from wsgiref.types import WSGIEnvironment

from service.api_keys import ApiKey, parse_key
from service.errors import Forbidden, SettingsError, Unauthorized
from service.settings import Settings

Scope = Literal["open", "predict", "metrics", "admin"]
"""What a route is for; `open` ones need no key."""

CHECK_SECONDS = 1.0  # between two looks at the file of keys
BEARER = "bearer "

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])


def requires(scope: Scope) -> Callable[[View], View]:
    """Declare the scope of a view."""

    def mark(view: View) -> View:
        view.scope = scope  # type: ignore[attr-defined]
        return view

    return mark


def scope_of(view: Callable[..., Any]) -> Scope:
    """The scope that a view declares; the strictest, if it declares none."""
    scope: Scope = getattr(view, "scope", "admin")
    return scope


class AccessControl:
    """The keys of the settings and those of their file, which is read again when it changes."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` for a file that cannot be read."""
        self._fixed = _digests(settings.api_keys)
        self._file = settings.api_keys_file
        self._from_file: list[tuple[bytes, frozenset[str]]] = []
        self._state: object = None
        self._checked_at = 0.0
        if self._file:
            self._state = _state_of(self._file)  # before the file, so that a change between the two is seen later
            self._from_file = _digests(read_keys(self._file))

    def check(self, environ: WSGIEnvironment, scope: Scope) -> None:
        """Raise `Unauthorized` without a valid key, and `Forbidden` with one that has not this scope."""
        if scope == "open":
            return
        key = _sent_key(environ)
        if not key:
            raise Unauthorized("send an API key: Authorization: Bearer KEY, or X-API-Key: KEY")
        scopes = self._scopes_of(key)
        if scopes is None:
            raise Unauthorized("this API key is not valid")
        if scope not in scopes:
            raise Forbidden(f"this API key has the scope {', '.join(sorted(scopes))}, and this path needs {scope}")

    def has_key_for(self, scope: Scope) -> bool:
        """Whether there is a key with this scope."""
        return any(scope in scopes for _, scopes in (*self._fixed, *self._from_file))

    def _scopes_of(self, key: str) -> frozenset[str] | None:
        """The scopes of a key, None if there is no such key; it takes as long for any key."""
        self._read_again()
        digest, found = _digest(key), None
        for known, scopes in (*self._fixed, *self._from_file):
            if hmac.compare_digest(known, digest):
                found = scopes if found is None else found | scopes
        return found

    def _read_again(self) -> None:
        """Read the file if it has changed; the keys of before stay if it cannot be read."""
        now = time.monotonic()
        if self._file is None or now - self._checked_at < CHECK_SECONDS:
            return
        self._checked_at = now
        state = _state_of(self._file)
        if state == self._state:
            return
        self._state = state
        try:
            self._from_file = _digests(read_keys(self._file))
            log.info("the API keys of %s were read again: %d", self._file, len(self._from_file))
        except SettingsError as error:
            log.error("the API keys stay as they were: %s", error)  # noqa: TRY400 - the message says all


def access_control(settings: Settings) -> AccessControl | None:
    """That of the settings; None if everybody may ask."""
    return AccessControl(settings) if settings.api_keys or settings.api_keys_file else None


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """A key in each line of a file, but empty lines and comments; raises `SettingsError`, without showing a key."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    keys = []
    for number, line in enumerate(lines, 1):
        if not (text := line.partition("#")[0].strip()):
            continue
        try:
            keys.append(parse_key(text))
        except ValueError as expected:
            raise SettingsError(f"{path}, line {number}: expected {expected}") from None
    if not keys:
        raise SettingsError(f"{path}: it has no key")
    return tuple(keys)


def _digests(keys: Iterable[ApiKey]) -> list[tuple[bytes, frozenset[str]]]:
    return [(_digest(one.key), one.scopes) for one in keys]


def _digest(key: str) -> bytes:
    """All of one length, so that comparing them says nothing about the length of a key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def _state_of(path: Path) -> object:
    """What changes when a file does; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _sent_key(environ: WSGIEnvironment) -> str:
    authorization: str = environ.get("HTTP_AUTHORIZATION", "")
    if authorization[: len(BEARER)].lower() == BEARER:
        return authorization[len(BEARER) :].strip()
    return str(environ.get("HTTP_X_API_KEY", "")).strip()
