"""A service of two models, one of which has a version that does not open: at the start, later, and after a reload."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import IRIS_VERSION, MODELS
from running_service import (
    COMMANDS,
    DEADLINE,
    ROOT,
    RunningService,
    clean_environment,
    free_port,
    patched_service,
    predict,
    wait_until,
)

WINE_ROW = {"instances": [[13.0, 2.0, 2.4, 19.0, 100.0, 2.3, 2.0, 0.3, 1.6, 5.0, 0.9, 2.6, 750.0]]}
HALF_COPIED = "99"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder with iris and wine."""
    for name in ("iris", "wine"):
        shutil.copytree(MODELS / name, tmp_path / "models" / name)
    return tmp_path / "models"


def damage(models: Path) -> None:
    """Leave no version of iris that opens."""
    (models / f"iris/{IRIS_VERSION}/model.onnx").write_bytes(b"")


def replace_workers(server: RunningService, by: signal.Signals) -> None:
    """Kill all workers, or reload, and wait until others are in their place."""
    before = set(server.workers())
    if by == signal.SIGKILL:
        for worker in before:
            os.kill(worker, by)
    else:
        server.process.send_signal(by)
    wait_until(lambda: not before & set(server.workers()))
    server.wait_for_workers(2 * len(before))


@pytest.fixture(scope="module")
def degraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that was started while a newer version of iris was half copied, and beside a file."""
    folder = tmp_path_factory.mktemp("degraded")
    shutil.copytree(MODELS / "iris", folder / "models/iris")
    newer = Path(shutil.copytree(folder / f"models/iris/{IRIS_VERSION}", folder / f"models/iris/{HALF_COPIED}"))
    (newer / "manifest.json").unlink()
    (folder / "models/iris/notes.txt").touch()
    with RunningService(folder / "log", models_dir=str(folder / "models")) as server:
        yield server


def test_the_newest_version_that_opens_is_served(degraded: RunningService) -> None:
    assert predict(degraded).json()["model_version"] == IRIS_VERSION
    assert degraded.client.get("/v2/health/ready").status_code == 200


def test_the_status_of_the_model_lists_the_version_that_does_not_open(degraded: RunningService) -> None:
    status = degraded.client.get("/v1/models/iris").json()
    assert status["version"] == IRIS_VERSION
    assert status["versions"] == [IRIS_VERSION]
    reason = f"iris/{HALF_COPIED}/manifest.json: No such file or directory"
    failed = {"error_code": "FAILED_PRECONDITION", "error_message": reason}
    available = {"error_code": "OK", "error_message": ""}
    assert status["model_version_status"] == [
        {"version": HALF_COPIED, "state": "END", "status": failed},
        {"version": IRIS_VERSION, "state": "AVAILABLE", "status": available},
    ]


def test_the_repository_index_and_the_metrics_have_the_version_that_does_not_open(degraded: RunningService) -> None:
    index = degraded.client.post("/v2/repository/index").json()
    assert [(entry["version"], entry["state"]) for entry in index] == [
        (IRIS_VERSION, "READY"),
        (HALF_COPIED, "UNAVAILABLE"),
    ]
    assert index[1]["reason"] == f"iris/{HALF_COPIED}/manifest.json: No such file or directory"
    ready = degraded.client.post("/v2/repository/index", json={"ready": True}).json()
    assert [entry["version"] for entry in ready] == [IRIS_VERSION]
    metric = f'digitalis_model_unavailable{{model="iris",version="{HALF_COPIED}"}} 1.0\n'
    assert metric in degraded.client.get("/metrics").text


@pytest.mark.parametrize("path", ["v1/models/iris", "v2/models/iris", "v2/models/iris/ready"])
def test_a_request_for_the_version_that_does_not_open_gets_503_with_the_reason(
    degraded: RunningService, path: str
) -> None:
    prefix, _, suffix = path.partition("iris")
    response = degraded.client.get(f"/{prefix}iris/versions/{HALF_COPIED}{suffix.removeprefix('iris')}")
    assert response.status_code == 503
    assert response.json()["error"].startswith(f"iris/{HALF_COPIED} cannot be opened: iris/{HALF_COPIED}/manifest.json")


def test_the_log_has_what_is_not_served_and_what_is_skipped(degraded: RunningService) -> None:
    lines = [json.loads(line) for line in degraded.log().splitlines() if line.startswith("{")]
    messages = [line["message"] for line in lines if line["level"] in ("warning", "error")]
    assert any(message.startswith(f"iris/{HALF_COPIED} is not served: ") for message in messages)
    assert any(message.startswith("skipped: ") and "notes.txt: a version folder is" in message for message in messages)


@COMMANDS
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGHUP])
def test_new_workers_serve_the_other_models_when_one_no_longer_opens(
    tmp_path: Path, models: Path, command: tuple[str, ...], by: signal.Signals
) -> None:
    with RunningService(tmp_path / "log", command, workers="2", models_dir=str(models)) as server:
        server.wait_for_workers(2)
        damage(models)
        (models / "wine/half-copied").mkdir()
        replace_workers(server, by)
        for _ in range(10):
            assert predict(server, WINE_ROW, "wine").status_code == 200
            rejected = predict(server)
            assert rejected.status_code == 503
            assert rejected.json()["error"].startswith(f"iris/{IRIS_VERSION} cannot be opened: iris/{IRIS_VERSION}/")
        assert server.process.poll() is None


@COMMANDS
def test_a_reload_of_which_nothing_opens_leaves_the_old_workers_serving(
    tmp_path: Path, models: Path, command: tuple[str, ...]
) -> None:
    with RunningService(tmp_path / "log", command, graceful_timeout="1", models_dir=str(models)) as server:
        (worker,) = server.workers()
        damage(models)
        (models / f"wine/{next((models / 'wine').iterdir()).name}/manifest.json").unlink()
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("it goes on")
        assert predict(server).status_code == 200
        wait_until(lambda: server.workers() == [worker])
        assert predict(server).status_code == 200
        assert server.client.get("/v2/health/ready").status_code == 200
        shutil.rmtree(models)
        for name in ("iris", "wine"):
            shutil.copytree(MODELS / name, models / name)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: worker not in server.workers())
        assert predict(server).status_code == 200


def test_a_reload_of_code_that_cannot_be_imported_leaves_the_old_workers_serving(tmp_path: Path) -> None:
    with patched_service(tmp_path, "", graceful_timeout="1") as server:
        (worker,) = server.workers()
        (tmp_path / "patched.py").write_text("import a_module_that_does_not_exist")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("it goes on")
        wait_until(lambda: server.workers() == [worker])
        assert predict(server).status_code == 200
        assert "ModuleNotFoundError" in server.log()


def test_a_worker_that_is_killed_while_it_starts_is_replaced_and_the_log_says_what_may_help(tmp_path: Path) -> None:
    patch = "(folder / 'opened').touch()\nwhile (folder / 'hold').exists(): time.sleep(0.005)"
    with patched_service(tmp_path, patch) as server:
        (worker,) = server.workers()
        (tmp_path / "opened").unlink()
        (tmp_path / "hold").touch()
        os.kill(worker, signal.SIGKILL)
        wait_until((tmp_path / "opened").exists)
        (starting,) = server.workers()
        os.kill(starting, signal.SIGKILL)
        (tmp_path / "hold").unlink()
        server.wait_for_log(f"worker {starting} has ended before it was ready: ")
        assert predict(server).status_code == 200
        assert "set DIGITALIS_WORKERS to fewer" in server.log()


@COMMANDS
def test_a_model_without_a_version_that_opens_ends_the_first_start(models: Path, command: tuple[str, ...]) -> None:
    damage(models)
    address = f"127.0.0.1:{free_port()}"
    environment = clean_environment(bind=address, workers="2", models_dir=str(models))
    failed = subprocess.run(
        [part.replace("{address}", address) for part in command],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert failed.returncode == 2
    line = failed.stderr.splitlines()[-1]
    assert line.startswith(f"digitalis: no version of iris can be opened: iris/{IRIS_VERSION}/model.onnx: damaged: ")


def test_metrics_of_a_bundle_that_has_been_mended_are_counted(tmp_path: Path, models: Path) -> None:
    """It was damaged at the start, so the memory that all workers share has no counters for its labels."""
    newer = Path(shutil.copytree(models / f"iris/{IRIS_VERSION}", models / "iris/99"))
    (newer / "manifest.json").unlink()
    with RunningService(tmp_path / "log", models_dir=str(models)) as server:
        manifest = json.loads((models / f"iris/{IRIS_VERSION}/manifest.json").read_text())
        (newer / "manifest.json").write_text(json.dumps(manifest | {"version": "99"}))
        replace_workers(server, signal.SIGKILL)
        assert predict(server).json()["model_version"] == "99"
        metrics = httpx.get(f"{server.url}/metrics", timeout=DEADLINE).text
        assert 'digitalis_predictions_total{label="setosa",model="iris",version="99"} 1.0' in metrics
        assert "recording it failed" not in server.log()
