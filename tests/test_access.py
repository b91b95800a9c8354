"""API keys: who may ask what, rotation without a restart, and a start that is refused where everybody could ask."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import newest
from running_service import DEADLINE, ROOT, RunningService, clean_environment

from service.api_keys import SCOPES, parse_key
from service.app import create_app
from service.errors import SettingsError
from service.http.access import read_keys
from service.http.routing import DigitalisApp
from service.setting_values import is_loopback
from service.settings import Settings

PREDICT, METRICS, ADMIN = "predict-key-0123456", "metrics-key-0123456", "admin-key-012345678"
KEYS = f"{PREDICT},metrics:{METRICS},predict+metrics+admin:{ADMIN}"
ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}


def open_app(**settings: Any) -> DigitalisApp:
    one_thread: dict[str, Any] = {"device": "cpu", "workers": 1, "intra_op_threads": 1, "log_requests": "none"}
    return create_app(Settings(**one_thread, **settings), [newest("iris")])


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    return open_app(api_keys=tuple(map(parse_key, KEYS.split(","))))


def ask(app: DigitalisApp, path: str, key: str | None = None, **headers: str) -> Any:
    given = {"Authorization": f"Bearer {key}"} if key else {}
    client, fields = app.test_client(), {**given, **headers}
    if path.endswith(":predict"):
        return client.post(path, json=ROW, headers=fields)
    return client.get(path, headers=fields)


def test_every_route_declares_its_scope(app: DigitalisApp) -> None:
    declared = {"open", *SCOPES}
    undeclared = {name for name, view in app.view_functions.items() if getattr(view, "scope", None) not in declared}
    assert undeclared == set()


def test_only_health_and_the_pages_are_open(app: DigitalisApp) -> None:
    scopes = {name: view.scope for name, view in app.view_functions.items()}  # type: ignore[union-attr]
    assert {name for name, scope in scopes.items() if scope == "open"} == {
        "health.v2_liveness", "health.v2_readiness", "page.root", "page.file", "sagemaker.ping", "swagger_ui.show",
        "v2.model_ready", "v2.server",
    }  # fmt: skip
    assert {name for name, scope in scopes.items() if scope == "metrics"} == {"metrics.read_metrics", "v2.statistics"}
    admin = {"v2.not_implemented", "v2.repository.load", "v2.repository.unload"}
    assert {name for name, scope in scopes.items() if scope == "admin"} == admin


@pytest.mark.parametrize("path", ["/", "/v2/health/live", "/v2/health/ready", "/ping", "/page/app.js", "/docs/"])
def test_open_paths_need_no_key(app: DigitalisApp, path: str) -> None:
    assert ask(app, path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/iris", "/v1/models/iris:predict", "/v2/models/iris", "/metrics", "/openapi.json"]
)
def test_other_paths_need_a_key_and_say_so(app: DigitalisApp, path: str) -> None:
    for response in (ask(app, path), ask(app, path, "x" * 20), ask(app, path, Authorization=f"Basic {PREDICT}")):
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="digitalis"'
        assert "API key" in json.loads(response.data)["error"]


def test_a_key_opens_what_its_scopes_name_and_no_more(app: DigitalisApp) -> None:
    allowed = {
        (path, key): ask(app, path, key).status_code
        for path in ("/v1/models/iris:predict", "/v1/models", "/metrics", "/v2/models/stats", "/v2/logging")
        for key in (PREDICT, METRICS, ADMIN)
    }
    assert [allowed["/v1/models/iris:predict", key] for key in (PREDICT, METRICS, ADMIN)] == [200, 403, 200]
    assert [allowed["/v1/models", key] for key in (PREDICT, METRICS, ADMIN)] == [200, 403, 200]
    assert [allowed["/metrics", key] for key in (PREDICT, METRICS, ADMIN)] == [403, 200, 200]
    assert [allowed["/v2/models/stats", key] for key in (PREDICT, METRICS, ADMIN)] == [403, 200, 200]
    assert [allowed["/v2/logging", key] for key in (PREDICT, METRICS, ADMIN)] == [403, 403, 501]
    message = json.loads(ask(app, "/metrics", PREDICT).data)["error"]
    assert message == "this API key has the scope predict, and this path needs metrics"


@pytest.mark.parametrize("header", [{"X-API-Key": PREDICT}, {"Authorization": f"bearer  {PREDICT} "}])
def test_a_key_may_be_sent_in_either_header(app: DigitalisApp, header: dict[str, str]) -> None:
    assert app.test_client().get("/v1/models", headers=header).status_code == 200


def test_a_path_that_there_is_not_gets_404_without_a_key(app: DigitalisApp) -> None:
    assert ask(app, "/nothing").status_code == 404


def test_without_keys_everybody_may_ask() -> None:
    assert ask(open_app(), "/metrics").status_code == 200


def test_keys_of_a_file_are_read_again_when_it_changes_and_stay_when_it_breaks(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the team\n{PREDICT}\n\nmetrics:{METRICS}  # of Prometheus\n")
    app = open_app(api_keys_file=file)
    assert app.access

    def status(key: str) -> int:
        assert app.access
        app.access._checked_at = 0.0
        return int(ask(app, "/v1/models", key).status_code)

    assert (status(PREDICT), status(METRICS), status("new-key-0123456789")) == (200, 403, 401)
    (tmp_path / "next").write_text("new-key-0123456789\n")
    (tmp_path / "next").replace(file)
    assert (status(PREDICT), status("new-key-0123456789")) == (401, 200)
    file.write_text("too-short\n")
    assert status("new-key-0123456789") == 200
    file.unlink()
    assert status("new-key-0123456789") == 200


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("", "it has no key"),
        ("short", "line 1: expected keys of 16 characters or more"),
        (f"{PREDICT}\nroot:{METRICS}", "line 2: expected scopes of predict, metrics, admin"),
        (f"{PREDICT} {METRICS}", "line 1: expected keys of 16 characters"),
    ],
)
def test_a_file_without_keys_ends_the_start_without_showing_any(
    tmp_path: Path, content: str | None, words: str
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError) as raised:
        read_keys(file)
    assert words in str(raised.value)
    assert METRICS not in str(raised.value)


def test_a_wrong_key_in_the_environment_is_not_shown() -> None:
    with pytest.raises(SettingsError, match=r"^DIGITALIS_API_KEYS: expected") as raised:
        Settings.from_env({"DIGITALIS_API_KEYS": "secret"})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("bind", "loopback"),
    [
        ("127.0.0.1:8000", True), ("localhost:80", True), ("[::1]:80", True), ("unix:/tmp/x", True),
        ("0.0.0.0:80", False), ("[::]:80", False), ("10.0.0.1:80", False), ("example.org:80", False), (":80", False),
    ],
)  # fmt: skip
def test_who_can_reach_an_address(bind: str, loopback: bool) -> None:  # noqa: FBT001
    assert is_loopback(bind) == loopback


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    environ = clean_environment() | environment
    command = (sys.executable, "-m", "service")
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=DEADLINE, check=False)


def test_a_service_that_others_reach_does_not_start_without_keys() -> None:
    started = start(DIGITALIS_BIND="0.0.0.0:65535")
    assert started.returncode == 2
    assert "0.0.0.0:65535 can be reached by others, and there are no API keys" in started.stderr
    assert "DIGITALIS_ALLOW_ANONYMOUS=1" in started.stderr


def test_a_running_service_asks_for_keys_on_both_paths(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", device="cpu", workers="1", api_keys=PREDICT) as service:
        url = f"{service.url}/v1/models/iris:predict"
        assert service.client.post(url, json=ROW).status_code == 401
        assert service.client.post(url, json=ROW, headers={"Authorization": f"Bearer {PREDICT}"}).status_code == 200
        assert service.client.get(f"{service.url}/metrics").status_code == 401
    assert PREDICT not in (tmp_path / "log").read_text()
