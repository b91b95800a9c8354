"""Names and versions never lead out of the folder of the models: not those of requests, nor what is in the folder."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import newest
from model_folder import ModelFolder
from running_service import MODULE, RawConnection, RunningService

from service.app import create_app
from service.errors import BundleError
from service.settings import Settings

KEY = "k" * 20
SECRET = b"root:x:0:0"
NAMES = (
    "..", ".", "../..", "../../secret.txt", "..%2fsecret.txt", "%2e%2e", "%2e%2e%2fsecret.txt", "..%252fsecret.txt",
    "..%5csecret.txt", "....//secret.txt", "%c0%ae%c0%ae/secret.txt", "%00", "iris%00", "iris%00.json", "iris%2f1",
    "iris%2f..%2firis", "/etc/passwd", "%2fetc%2fpasswd", "~", "$HOME", "iris%0a", "iris%0d%0aX:%20y", "iris%20",
    "IRIS", "iris.", ".1", "..iris", "01", "1.0", "+1", "-1", "%EF%BC%91", "1%00", "a" * 6000, "%ff%fe",
    "*", "serving.toml",
)  # fmt: skip
GETS = (
    "/v1/models/{}", "/v1/models/{}/report", "/v1/models/{}/metadata", "/v1/models/{}/openapi.json",
    "/v1/models/iris/versions/{}", "/v1/models/iris/versions/{}/report", "/v2/models/{}", "/v2/models/{}/config",
    "/v2/models/iris/versions/{}/stats", "/v2/models/{}/ready", "/page/{}", "/docs/{}",
)  # fmt: skip
POSTS = (
    "/v1/models/{}:predict", "/v1/models/iris/versions/{}:predict", "/v2/models/{}/infer",
    "/v2/repository/models/{}/load", "/v2/repository/models/{}/unload",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """With a secret beside the folder of the models, and a key for everything."""
    folder = tmp_path_factory.mktemp("names")
    ModelFolder(folder / "models").add(1)
    for place in (folder, folder / "models", folder / "models/iris"):
        (place / "secret.txt").write_bytes(SECRET)
    settings = {"repository_api": "true", "api_keys": f"predict+metrics+admin:{KEY}"}
    with RunningService(folder / "log", MODULE, None, models_dir=str(folder / "models"), **settings) as running:
        yield running


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:20])
def test_a_name_in_a_request_is_found_among_the_models_or_not_at_all(server: RunningService, name: str) -> None:
    for method, path in [*(("GET", path) for path in GETS), *(("POST", path) for path in POSTS)]:
        target = path.format(name)
        head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Length: 0\r\n\r\n"
        with RawConnection(server) as connection:
            response = connection.exchange(head.encode())
        # 308 and 200: what a dot, or a name with `..` in the middle, means to the page of the API alone
        allowed = {400, 404, 405, 414, 431} | ({200, 308} if path == "/docs/{}" else set())
        assert int(response[9:12]) in allowed, (target, response[:300])
        assert SECRET not in response
        assert b"X: y" not in response.partition(b"\r\n\r\n")[0]
        assert b"pytest-of" not in response  # no path of this machine


def test_the_service_still_answers_after_all_of_that(server: RunningService) -> None:
    assert server.client.get("/v1/models", headers={"X-API-Key": KEY}).json() == {"models": ["iris"]}
    assert len(server.workers()) == 1


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with iris, and a bundle and a secret outside of it."""
    ModelFolder(tmp_path / "models").add(1)
    shutil.copytree(newest("wine"), tmp_path / "outside/wine" / newest("wine").name)
    (tmp_path / "secret.txt").write_bytes(SECRET)
    return tmp_path / "models"


def open_models(models: Path) -> list[str]:
    return [str(model.id) for model in create_app(Settings(device="cpu", models_dir=models)).models]


def link_a_model(models: Path) -> None:
    (models / "wine").symlink_to(models.parent / "outside/wine")


def link_a_version(models: Path) -> None:
    (models / "wine").mkdir()
    outside = models.parent / "outside/wine" / newest("wine").name
    (models / "wine" / outside.name).symlink_to(outside)


def link_to_a_parent(models: Path) -> None:
    (models / "wine").symlink_to("..")
    (models / "iris/2").symlink_to("../..")


def link_in_a_circle(models: Path) -> None:
    (models / "wine").symlink_to("wine")
    (models / "iris/2").symlink_to("2")


def name_by_a_path(models: Path) -> None:
    for name in ("..\\..\\x", "a b", "Iris", "\N{LATIN SMALL LETTER E WITH ACUTE}", "-x", "a\nb", "*"):
        (models / name / "1").mkdir(parents=True)


@pytest.mark.parametrize(
    "change", [link_a_model, link_a_version, link_to_a_parent, link_in_a_circle, name_by_a_path],
    ids=lambda change: change.__name__.replace("_", " "),
)  # fmt: skip
def test_links_out_of_the_folder_and_other_names_are_skipped_and_logged(
    models: Path, caplog: pytest.LogCaptureFixture, change: Callable[[Path], None]
) -> None:
    change(models)
    with caplog.at_level(logging.WARNING):
        assert open_models(models) == ["iris/1"]
    assert "skipped" in caplog.text


def test_links_within_the_folder_are_followed_as_volumes_of_kubernetes_have_them(models: Path) -> None:
    (models / "iris").rename(models / "..data")
    (models / "iris").symlink_to("..data")
    assert open_models(models) == ["iris/1"]
    (models.parent / "current").symlink_to(models)
    assert open_models(models.parent / "current") == ["iris/1"]


@pytest.mark.parametrize("file", ["manifest.json", "model.onnx", "golden.json", "report.html"])
def test_a_file_that_is_a_link_out_of_the_folder_is_not_read(models: Path, file: str) -> None:
    path = models / "iris/1" / file
    path.rename(models.parent / file)
    path.symlink_to(models.parent / file)
    with pytest.raises(BundleError, match=f"iris/1/{file}: it is a link that leads out of "):
        open_models(models)


def test_a_pipe_or_a_folder_in_place_of_a_file_is_refused_at_once(models: Path) -> None:
    path = models / "iris/1/model.onnx"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BundleError, match=r"iris/1/model\.onnx: it is not a regular file"):
        open_models(models)
    path.unlink()
    path.mkdir()
    with pytest.raises(BundleError, match=r"iris/1/model\.onnx: it is not a regular file"):
        open_models(models)
