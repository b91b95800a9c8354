"""The service under a path of another host, behind proxies that strip this path and that do not."""

import html.parser
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from conftest import IRIS, IRIS_VERSION, SAMPLES
from in_process import open_app
from real_nginx import Nginx
from running_service import ROW, RunningService

from service.app import create_app
from service.http.near_misses import advice_on_path
from service.setting_values import OWN_PATHS
from service.settings import Settings

ROOT_PATH = "/ml/digits"
TENSOR = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of an application in this process, which has a root path."""
    app = create_app(Settings(device="cpu", root_path=ROOT_PATH), [IRIS])
    with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://127.0.0.1:8000") as found:
        yield found


@pytest.fixture(params=["", ROOT_PATH], ids=["stripped", "kept"])
def prefix(request: pytest.FixtureRequest) -> str:
    """What the proxy leaves of the root path."""
    return str(request.param)


def test_predictions_of_both_protocols_are_made_under_the_root_path(client: httpx.Client, prefix: str) -> None:
    for path in ("/v1/models/iris:predict", f"/v1/models/iris/versions/{IRIS_VERSION}:predict"):
        response = client.post(prefix + path, json=ROW)
        assert response.json()["predictions"][0]["label"] == "setosa"
    response = client.post(f"{prefix}/v2/models/iris/infer", json={"inputs": [TENSOR]})
    assert response.json()["outputs"][0]["shape"] == [1, 3]


def test_links_have_the_root_path(client: httpx.Client, prefix: str) -> None:
    found = client.get(f"{prefix}/").json()
    assert found == {"status": "alive", "models": "/ml/digits/v1/models", "documentation": "/ml/digits/docs/"}


def test_the_root_path_itself_is_the_start_page(client: httpx.Client) -> None:
    assert client.get(ROOT_PATH).json() == client.get(f"{ROOT_PATH}/").json()


def test_error_messages_name_the_path_as_the_client_sees_it(client: httpx.Client, prefix: str) -> None:
    assert client.post(f"{prefix}/v1/models/iris/predict").json()["error"] == (
        "no such path: /ml/digits/v1/models/iris/predict: did you mean POST /ml/digits/v1/models/iris:predict? "
        "GET /ml/digits/v1/models lists the models"
    )
    assert client.get(f"{prefix}/nowhere").json()["error"] == (
        "no such path: /ml/digits/nowhere; GET /ml/digits/v1/models lists the models"
    )
    assert client.get(f"{prefix}/v1/models/iris:predict").json()["error"] == (
        "GET is not allowed for /ml/digits/v1/models/iris:predict: use POST"
    )


def test_every_path_of_the_service_begins_in_one_of_the_known_ways() -> None:
    rules = open_app("iris").url_map.iter_rules()
    assert {rule.rule.split("/")[1] for rule in rules} - {""} == OWN_PATHS


@pytest.mark.parametrize("path", sorted(OWN_PATHS))
def test_what_a_proxy_has_left_in_front_of_any_path_of_the_service_is_named(path: str) -> None:
    for found in (f"/ml/digits/{path}", f"/ml/digits/{path}/x"):
        assert advice_on_path(found, "", []).endswith("needs DIGITALIS_ROOT_PATH=/ml/digits")


@pytest.mark.parametrize("path", ["/ml/digitsv1/models", "/ml/v1/models", "/ml/digits/ml/digits/v1/models"])
def test_a_path_that_only_resembles_the_root_path_is_not_there(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_redirect_is_relative_so_that_it_stays_under_the_root_path(client: httpx.Client, prefix: str) -> None:
    location = client.get(f"{prefix}/docs?x=1").headers["Location"]
    assert urljoin("https://example.org/ml/digits/docs", location) == "https://example.org/ml/digits/docs/?x=1"


def test_the_log_has_the_paths_of_the_service_itself(tmp_path: Path) -> None:
    """Those of requests that the worker rejects, too."""
    with RunningService(tmp_path / "log", root_path=ROOT_PATH, log_requests="all") as server:
        server.client.post(f"{ROOT_PATH}/v1/models/iris:predict", json=ROW)
        server.client.get(f"{ROOT_PATH}/v1/models", headers={"X": "x" * 70_000})
        lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    paths = {(line["path"], line["status"]) for line in lines if "path" in line}
    assert ("/v1/models/iris:predict", 200) in paths
    assert not [path for path, _ in paths if path.startswith(ROOT_PATH)]


class Assets(html.parser.HTMLParser):
    """What a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img"):
            self.urls += [value for name, value in attrs if name in ("src", "href") and value]


@pytest.fixture(scope="module")
def rooted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("rooted") / "log", root_path=ROOT_PATH) as server:
        yield server


@pytest.fixture(scope="module")
def rootless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("rootless") / "log") as server:
        yield server


@pytest.fixture(params=["prefix-stripped.conf", "prefix-kept.conf"])
def nginx(request: pytest.FixtureRequest, rooted: RunningService, tmp_path: Path) -> Iterator[Nginx]:
    """A real nginx in front, with HTTPS; the configurations are those of deploy/nginx/."""
    with Nginx(request.param, rooted, tmp_path) as running:
        yield running


def test_behind_nginx_predictions_and_errors_are_as_without(nginx: Nginx) -> None:
    client, root = nginx.client, ROOT_PATH
    assert client.post(f"{root}/v1/models/iris:predict", json=ROW).json()["predictions"][0]["label"] == "setosa"
    picture = {"image": (SAMPLES / "3.png").read_bytes()}
    assert client.post(f"{root}/v1/models/digits:predict", files=picture).json()["predictions"][0]["label"] == "3"
    inferred = client.post(f"{root}/v2/models/iris/infer", json={"inputs": [TENSOR]})
    assert inferred.json()["outputs"][0]["shape"] == [1, 3]
    assert len(inferred.headers["X-Request-ID"]) == 32
    large = json.dumps(ROW).encode() + b" " * 2**21  # more than nginx takes by default
    assert client.post(f"{root}/v1/models/iris:predict", content=large).status_code == 200
    missing = client.get(f"{root}/nowhere")
    assert missing.status_code == 404
    assert missing.json()["error"].startswith("no such path: /ml/digits/nowhere; GET /ml/digits/v1/models")


def test_behind_nginx_every_link_and_redirect_stays_under_the_prefix(nginx: Nginx) -> None:
    start = nginx.client.get(ROOT_PATH, follow_redirects=True)
    assert (str(start.url), start.status_code) == (f"{nginx.url}{ROOT_PATH}/", 200)
    assert nginx.client.get(start.json()["models"]).json()["models"]
    page = nginx.client.get(f"{ROOT_PATH}/docs", follow_redirects=True)
    assert (str(page.url), page.status_code) == (f"{nginx.url}{ROOT_PATH}/docs/", 200)
    assert start.json()["documentation"] == page.url.path


def check_page(nginx: Nginx) -> None:
    """The page, what it loads, and the OpenAPI document are under the prefix."""
    page = nginx.client.get(f"{ROOT_PATH}/docs/")
    assets = [urljoin(str(page.url), url) for url in Assets(page.text).urls]
    assert len(assets) >= 3
    for url in assets:
        assert url.startswith(f"{nginx.url}{ROOT_PATH}/docs/")
        assert nginx.client.get(url).status_code == 200, url
    assert '"../openapi.json"' in page.text
    document = nginx.client.get(f"{ROOT_PATH}/openapi.json")
    assert "/v1/models" in document.json()["paths"]
    for server in document.json().get("servers", []):
        assert urljoin(str(document.url), server["url"]).rstrip("/") == f"{nginx.url}{ROOT_PATH}"


def test_behind_nginx_the_page_and_all_that_it_loads_are_under_the_prefix(nginx: Nginx) -> None:
    check_page(nginx)


def test_behind_a_proxy_that_strips_the_prefix_the_page_needs_no_setting(
    rootless: RunningService, tmp_path: Path
) -> None:
    with Nginx("prefix-stripped.conf", rootless, tmp_path) as nginx:
        check_page(nginx)
        redirected = nginx.client.get(f"{ROOT_PATH}/docs", follow_redirects=True)
        assert redirected.url == f"{nginx.url}{ROOT_PATH}/docs/"


def test_behind_nginx_a_browser_shows_the_page(nginx: Nginx, chromium: str, tmp_path: Path) -> None:
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--enable-logging=stderr")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [
        chromium,
        *options,
        profile,
        "--virtual-time-budget=15000",
        "--dump-dom",
        f"{nginx.url}{ROOT_PATH}/docs/",
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "TensorFlow Serving's and KServe's protocol" in shown.stdout
    assert "Content Security Policy" not in shown.stderr
