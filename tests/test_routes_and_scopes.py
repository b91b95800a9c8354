"""Every route with every key, and other spellings of its path: nobody gets in by another way than the front door."""

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from in_process import open_app
from model_folder import ModelFolder
from running_service import MODULE, RawConnection, RunningService

from service.http.access import scope_of

KEYS = {name: f"{name}-{name}-{name}-{name}" for name in ("predict", "metrics", "admin")}
VARIABLES = {"name": "iris", "version": "1", "path": "swagger-ui.css"}
WRONG = {
    "no key": {},
    "an empty key": {"Authorization": "Bearer "},
    "a wrong key": {"Authorization": f"Bearer {KEYS['admin'][:-1]}"},
    "a longer key": {"X-API-Key": KEYS["admin"] + "x"},
    "another scheme": {"Authorization": f"Basic {KEYS['admin']}"},
    "a scope and a key": {"X-API-Key": f"admin:{KEYS['admin']}"},
    "a key in capitals": {"X-API-Key": KEYS["admin"].upper()},
    "bytes that are no text": {"X-API-Key": "\xff\xfe" * 20},
    "two keys in one field": {"X-API-Key": f"{KEYS['admin']},{KEYS['admin']}"},
}


class Route(NamedTuple):
    """A method and a path, and the scope that it needs."""

    method: str
    path: str
    scope: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("scopes")
    ModelFolder(folder / "models").add(1)
    keys = ",".join(f"{scope}:{key}" for scope, key in KEYS.items())
    settings = {"models_dir": str(folder / "models"), "repository_api": "true", "api_keys": keys}
    with RunningService(folder / "log", MODULE, None, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def routes() -> list[Route]:
    """What the application says of itself."""
    app = open_app("iris")
    found = []
    for rule in app.url_map.iter_rules():
        values = VARIABLES | ({"name": "app.js"} if rule.endpoint == "page.file" else {})
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda variable, values=values: values[variable[1]], rule.rule)  # type: ignore[misc]
        scope = scope_of(app.view_functions[rule.endpoint])
        found += [Route(method, path, scope) for method in sorted(rule.methods or ())]
    return found


def ask(server: RunningService, method: str, target: str, headers: dict[str, str]) -> int:
    """The status of the response; the target is sent as it is."""
    fields = {"Host": "a", "Content-Length": "0", "Connection": "close"} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with RawConnection(server) as connection:
        return int(connection.exchange(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin1"))[9:12])


def test_there_is_every_route_that_is_known(routes: list[Route]) -> None:
    assert len(routes) > 90
    assert {route.scope for route in routes} == {"open", "predict", "metrics", "admin"}


def test_every_route_opens_for_the_key_with_its_scope_and_for_no_other(
    server: RunningService, routes: list[Route]
) -> None:
    for (method, path, needed), (scope, key) in itertools.product(routes, KEYS.items()):
        if method == "POST" and path.endswith("/unload"):
            continue  # it would; `test_model_updates.py` does
        status = ask(server, method, path, {"Authorization": f"Bearer {key}"})
        is_allowed = needed in ("open", scope)
        assert (status == 403) == (not is_allowed), (method, path, scope, status)
        assert status != 401, (method, path, scope)


def test_no_route_that_needs_a_key_opens_without_a_valid_one(server: RunningService, routes: list[Route]) -> None:
    for (method, path, needed), (what, headers) in itertools.product(routes, WRONG.items()):
        status = ask(server, method, path, headers)
        assert (status == 401) == (needed != "open"), (method, path, what, status)


def spellings(path: str) -> Iterator[str]:
    """Other ways to write a path, some of which mean the same to a server or a proxy in front."""
    yield from (f"{path}/", f"/{path}", f"//{path.lstrip('/')}", path.replace("/", "//"), path.upper(), path.title())
    yield from (f"/.{path}", f"/docs/..{path}", f"/page/..{path}", f"/page/%2e%2e{path}", f"{path}/.", f"{path};a=b")
    yield from (
        f"{path}%00",
        f"{path}%20",
        f"{path}?",
        f"{path}#a",
        f"{path}%3f",
        f"{path}%23",
        f"{path}\\",
        f"{path}.json",
    )
    yield path.replace("/", "%2F").replace("%2F", "/", 1)
    yield "/" + "".join(f"%{ord(character):02x}" for character in path[1:])
    yield path.replace("v1", "V1").replace("v2", "%76%32")
    yield path.replace("/models/", "/models/./").replace("/metrics", "/metrics/.")


def test_no_other_spelling_of_a_path_opens_it_without_a_key(server: RunningService, routes: list[Route]) -> None:
    closed = [route for route in routes if route.scope != "open" and route.method in ("GET", "POST")]
    tried = 0
    for method, path, _ in closed:
        for spelling in spellings(path):
            status = ask(server, method, spelling, {})
            assert status in {400, 401, 404, 405, 308}, (method, spelling, status)
            tried += 1
    assert tried > 800


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HTTP-Method-Override": "GET"},
        {"X-Original-URL": "/v2/health/live"},
        {"X-Rewrite-URL": "/v2/health/live"},
        {"X-Forwarded-Prefix": "/v2/health/live"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Host": "localhost"},
        {"Origin": "http://localhost"},
        {"Cookie": f"key={KEYS['admin']}"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_no_other_header_opens_a_path(server: RunningService, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/metrics"), ("POST", "/v1/models/iris:predict"), ("POST", "/v2/models/iris/infer")):
        assert ask(server, method, path, headers) == 401


def test_a_key_in_the_query_or_the_body_is_none(server: RunningService) -> None:
    for path in (f"/v1/models?api_key={KEYS['admin']}", f"/v1/models?access_token={KEYS['admin']}"):
        assert ask(server, "GET", path, {}) == 401
