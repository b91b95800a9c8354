"""SageMaker's two paths: `/ping` and `/invocations`."""

import httpx
import pytest
from conftest import IRIS, SAMPLES, newest
from running_service import ROW, failed_start

from service.app import create_app
from service.http.routing import DigitalisApp
from service.settings import Settings

JSON = "application/json"


def client_of(*models: str, default: str | None = None) -> httpx.Client:
    app = create_app(Settings(device="cpu", default_model=default), [newest(name) for name in models])
    return httpx.Client(transport=httpx.WSGITransport(app), base_url="http://127.0.0.1:8080")


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    return create_app(Settings(device="cpu"), [IRIS])


def test_ping_is_200_until_the_service_shuts_down(app: DigitalisApp, monkeypatch: pytest.MonkeyPatch) -> None:
    with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://127.0.0.1:8080") as client:
        assert client.get("/ping").status_code == 200
        monkeypatch.setattr(app, "is_shutting_down", True)
        assert client.get("/ping").status_code == 503


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}', JSON),
        (b"5.1,3.5,1.4,0.2\n", "text/csv"),
        (b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}', "application/octet-stream"),
    ],
)
def test_the_only_model_takes_invocations_in_all_media_types(content: bytes, media_type: str) -> None:
    with client_of("iris") as client:
        response = client.post("/invocations", content=content, headers={"Content-Type": media_type})
        direct = client.post("/v1/models/iris:predict", content=content, headers={"Content-Type": media_type})
    assert response.json() == direct.json()
    assert response.json()["predictions"][0]["label"] == "setosa"


def test_the_default_model_takes_invocations_pictures_and_options_too() -> None:
    picture = (SAMPLES / "3.png").read_bytes()
    with client_of("iris", "mnist-deep", default="mnist-deep") as client:
        for media_type in ("image/png", "application/x-image"):  # the second one is SageMaker's own
            response = client.post("/invocations?debug=ink", content=picture, headers={"Content-Type": media_type})
            assert response.status_code == 200
    assert response.json()["model_name"] == "mnist-deep"
    assert response.json()["predictions"][0]["label"] == "3"
    assert "ink" in response.text


def test_with_several_models_and_no_default_the_message_says_what_to_set() -> None:
    with client_of("iris", "mnist-deep") as client:
        response = client.post("/invocations", json=ROW)
    assert response.status_code == 404
    assert response.json()["error"] == (
        "/invocations does not say which model is meant: set DIGITALIS_DEFAULT_MODEL to one of iris, mnist-deep; "
        "or send POST /v1/models/<name>:predict"
    )


def test_the_wrong_method_is_named(app: DigitalisApp) -> None:
    with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://127.0.0.1:8080") as client:
        assert client.get("/invocations").json() == {"error": "GET is not allowed for /invocations: use POST"}
        assert client.post("/ping").json() == {"error": "POST is not allowed for /ping: use GET"}


def test_a_default_model_that_there_is_not_stops_the_start() -> None:
    failed = failed_start(default_model="iriss")
    assert failed.returncode == 2
    assert "digitalis: DIGITALIS_DEFAULT_MODEL names iriss: the models are " in failed.stderr
