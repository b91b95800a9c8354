"""New models without a restart: versions that come and go while two workers serve, policies, loading and unloading."""

import collections
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from model_folder import ModelFolder, edit_manifest, flip_byte
from running_service import COMMANDS, DEADLINE, MODULE, ROW, RunningService, failed_start, predict, wait_until

ADMIN, CLIENT = "admin-admin-admin", "client-client-client"


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    """A folder with version 1 of iris, and version 1 of nothing else."""
    models = ModelFolder(tmp_path / "models")
    models.add(1)
    return models


@pytest.fixture
def server(tmp_path: Path, folder: ModelFolder) -> Iterator[RunningService]:
    """Two workers that serve the folder."""
    where = str(folder.path)
    with RunningService(tmp_path / "log", workers="2", models_dir=where, models_poll_seconds="0.2") as running:
        running.wait_for_workers(2)
        yield running


def answering(server: RunningService, requests: int = 20) -> set[str]:
    """The versions that answer requests without one, over as many connections."""
    return {predict(server).json()["model_version"] for _ in range(requests)}


def status(server: RunningService, **headers: str) -> Any:
    return httpx.get(f"{server.url}/v1/models/iris", timeout=DEADLINE, verify=False, headers=headers).json()


def ask(server: RunningService, path: str, body: Any = None, key: str = ADMIN) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{server.url}{path}", json=body, timeout=DEADLINE, verify=False, headers=headers)


def wait_for_version(server: RunningService, version: str) -> None:
    """Until a worker says that this version answers; then all of them must."""
    wait_until(lambda: status(server)["version"] == version, f"version {version}")
    assert answering(server) == {version}


def test_a_new_version_answers_in_all_workers_at_once_and_says_who_it_is(
    server: RunningService, folder: ModelFolder
) -> None:
    before = predict(server)
    assert (before.headers["X-Model-Version"], before.json()["model_version"]) == ("1", "1")
    folder.add(2)
    wait_until(lambda: predict(server).json()["model_version"] == "2", "version 2")
    assert answering(server, 50) == {"2"}  # the first answer of it was the last one of version 1
    found = status(server)
    after = predict(server)
    assert after.headers["X-Model-Digest"] == found["digest"] != before.headers["X-Model-Digest"]
    assert (found["versions"], found["workers"]) == (["2", "1"], 2)
    old = httpx.post(f"{server.url}/v2/models/iris/versions/1/infer", json=TENSORS, timeout=DEADLINE, verify=False)
    assert (old.status_code, old.json()["model_version"], old.headers["X-Model-Version"]) == (200, "1", "1")


TENSORS = {"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}]}


def test_a_new_model_is_served_and_a_removed_one_is_not(server: RunningService, folder: ModelFolder) -> None:
    flower = folder.path / "flower"
    folder.write(flower / "1", 1, name="flower")
    wait_until(lambda: predict(server, model="flower").status_code == 200, "the model flower")
    shutil.rmtree(flower)
    wait_until(lambda: predict(server, model="flower").status_code == 404, "no model flower")
    wait_until(lambda: all(predict(server, model="flower").status_code == 404 for _ in range(20)), "in both workers")
    assert answering(server) == {"1"}


def test_a_version_that_is_taken_away_is_closed_and_the_one_before_answers(
    server: RunningService, folder: ModelFolder
) -> None:
    folder.add(2)
    wait_for_version(server, "2")
    folder.remove(2)
    wait_for_version(server, "1")
    wait_until(lambda: status(server)["versions"] == ["1"], "version 2 is closed")


def test_a_version_that_replaces_another_answers_before_that_is_closed(
    server: RunningService, folder: ModelFolder
) -> None:
    hidden = folder.iris / ".2"
    folder.write(hidden, 2)
    folder.remove(1)
    hidden.rename(folder.iris / "2")
    codes: collections.Counter[int] = collections.Counter()
    wait_until(lambda: _counted(codes, server) == "2", "version 2")
    assert set(codes) == {200}


def _counted(codes: collections.Counter[int], server: RunningService) -> str:
    response = predict(server)
    codes[response.status_code] += 1
    return str(response.json().get("model_version"))


def test_the_content_of_a_version_may_be_replaced(server: RunningService, folder: ModelFolder) -> None:
    before = status(server)["digest"]
    other = folder.iris / ".other"
    folder.write(other, 1, seed=999)
    (folder.iris / "1").rename(folder.iris / ".before")
    other.rename(folder.iris / "1")
    wait_until(lambda: status(server)["digest"] != before, "the other digest")
    assert {predict(server).headers["X-Model-Digest"] for _ in range(20)} == {status(server)["digest"]}


def test_a_bundle_that_is_being_copied_is_left_in_peace_until_it_is_whole(
    server: RunningService, folder: ModelFolder
) -> None:
    whole = folder.iris / ".2"
    folder.write(whole, 2)
    files = sorted(whole.iterdir(), key=lambda path: path.name != "manifest.json")  # the manifest first
    (folder.iris / "2").mkdir()
    for path in files:
        content = path.read_bytes()
        with (folder.iris / "2" / path.name).open("wb") as copy:
            for start in range(0, len(content), 4096):
                copy.write(content[start : start + 4096])
                copy.flush()
                assert predict(server).json()["model_version"] == "1"
    wait_for_version(server, "2")


BAD_BUNDLES: dict[str, Callable[[Path], object]] = {
    "model.onnx: damaged: SHA-256 is": flip_byte,
    "it is iris/99, but its folder is iris/": lambda path: edit_manifest(path, version="99"),
    "does not fit the output": lambda path: edit_manifest(path, labels=["a", "b"]),
    "golden.json: No such file": lambda path: (path / "golden.json").unlink(),
    "Input data was truncated": lambda path: (path / "manifest.json").write_text("{"),
    "manifest.json: No such file": lambda path: (path / "manifest.json").unlink(),
}


def test_a_bad_bundle_is_refused_and_reported_and_the_old_version_serves_on(
    server: RunningService, folder: ModelFolder, tmp_path: Path
) -> None:
    for number, (words, damage) in enumerate(BAD_BUNDLES.items(), 2):
        folder.write(folder.iris / f".{number}", number)
        damage(folder.iris / f".{number}")
        (folder.iris / f".{number}").rename(folder.iris / str(number))
        server.wait_for_log(f"iris/{number} is not served", 2)
        found = status(server)["model_version_status"][0]
        assert (found["version"], found["state"]) == (str(number), "END")
        assert words in found["status"]["error_message"]
        assert str(tmp_path) not in found["status"]["error_message"]
        metrics = httpx.get(f"{server.url}/metrics", timeout=DEADLINE, verify=False).text
        assert f'digitalis_model_unavailable{{model="iris",version="{number}"}} 1.0' in metrics
        assert 'digitalis_model_traffic_ratio{model="iris",version="1"} 1.0' in metrics
    assert answering(server) == {"1"}
    last = str(1 + len(BAD_BUNDLES))
    (folder.iris / last).rename(folder.iris / ".bad")
    folder.add(int(last))  # mended
    wait_for_version(server, last)
    assert server.log().count("iris/2 is not served") == 2  # once from each worker, however often it is tried


def test_a_version_that_is_damaged_in_its_place_serves_on_as_it_was_opened(
    server: RunningService, folder: ModelFolder
) -> None:
    flip_byte(folder.iris / "1")
    server.wait_for_log("it serves on as it was opened before", 2)
    assert answering(server) == {"1"}
    (found,) = status(server)["model_version_status"]
    assert (found["state"], found["status"]["error_code"]) == ("AVAILABLE", "FAILED_PRECONDITION")


def test_a_folder_that_is_away_for_a_while_closes_nothing(server: RunningService, folder: ModelFolder) -> None:
    away = folder.path.rename(folder.path.with_name("away"))
    server.wait_for_log("the models stay as they are", 2)
    folder.path.mkdir()  # as the empty mount point of a volume
    server.wait_for_log("no bundle there", 2)
    assert answering(server) == {"1"}
    folder.path.rmdir()
    away.rename(folder.path)
    folder.add(2)
    wait_for_version(server, "2")


@COMMANDS
def test_after_a_reload_the_workers_serve_what_is_in_the_folder_also_where_nothing_looks_at_it(
    tmp_path: Path, folder: ModelFolder, command: tuple[str, ...]
) -> None:
    where = str(folder.path)
    with RunningService(tmp_path / "log", command, workers="2", models_dir=where, models_poll_seconds="0") as server:
        server.wait_for_workers(2)
        folder.add(2)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_workers(4)
        wait_until(lambda: answering(server) == {"2"}, "version 2")


def test_a_killed_worker_comes_back_with_what_the_others_serve(server: RunningService, folder: ModelFolder) -> None:
    folder.add(2)
    wait_for_version(server, "2")
    os.kill(server.workers()[0], signal.SIGKILL)
    server.wait_for_workers(3)
    folder.add(3)
    wait_for_version(server, "3")
    wait_until(lambda: status(server)["workers"] == 2, "both workers are counted, and the dead one is not")


def test_a_bad_bundle_that_is_taken_away_is_forgotten(server: RunningService, folder: ModelFolder) -> None:
    flip_byte(folder.add(2))
    server.wait_for_log("iris/2 is not served", 2)
    folder.remove(2)
    wait_until(lambda: len(status(server)["model_version_status"]) == 1, "version 1 alone")
    metrics = f"{server.url}/metrics"
    wait_until(
        lambda: all("model_unavailable{" not in httpx.get(metrics, verify=False).text for _ in range(8)), "both workers"
    )


def test_files_that_are_written_again_as_they_were_are_not_opened_again(
    server: RunningService, folder: ModelFolder
) -> None:
    for path in (folder.iris / "1").iterdir():
        path.touch()
    copied = folder.iris / ".copy"
    shutil.copytree(folder.iris / "1", copied)
    (folder.iris / "1").rename(folder.iris / ".before")
    copied.rename(folder.iris / "1")
    folder.add(2)
    server.wait_for_log("iris/2 is open", 2)
    assert "iris/1 is open" not in server.log()
    assert answering(server) == {"2"}


# Pins and canaries


def test_a_version_is_pinned_by_the_file_beside_it_and_the_pin_is_taken_back(
    server: RunningService, folder: ModelFolder
) -> None:
    folder.add(2)
    wait_for_version(server, "2")
    folder.say("version = 1\n")
    wait_for_version(server, "1")  # rolled back
    found = status(server)["traffic"]
    assert (found["policy"], found["source"], found["problem"]) == ("pinned", "iris/serving.toml", "")
    folder.add(3)
    server.wait_for_log("iris/3 is open", 2)
    assert answering(server) == {"1"}
    (folder.iris / "serving.toml").unlink()
    wait_for_version(server, "3")
    assert status(server)["traffic"]["policy"] == "newest"


def test_a_canary_gets_its_share_of_the_requests_that_name_no_version(
    server: RunningService, folder: ModelFolder
) -> None:
    folder.say("canary = 2\ncanary_share = 0.25\n")
    folder.add(2)
    wait_until(lambda: status(server)["traffic"]["canary"] == "2", "the canary")
    with server.new_client() as client:  # one connection, so that one worker answers
        versions = [client.post("/v1/models/iris:predict", json=ROW).json()["model_version"] for _ in range(40)]
        assert collections.Counter(versions) == {"1": 30, "2": 10}
        assert client.post("/v1/models/iris/versions/1:predict", json=ROW).json()["model_version"] == "1"
        metrics = client.get("/metrics").text
    assert 'digitalis_model_traffic_ratio{model="iris",version="1"} 0.75' in metrics
    assert 'digitalis_model_traffic_ratio{model="iris",version="2"} 0.25' in metrics


def test_a_pin_holds_while_the_folder_is_away_and_in_workers_that_are_replaced(
    server: RunningService, folder: ModelFolder
) -> None:
    folder.add(2)
    wait_for_version(server, "2")
    folder.say("version = 1\n")
    wait_for_version(server, "1")
    away = folder.path.rename(folder.path.with_name("away"))
    folder.path.mkdir()  # the empty mount point
    server.wait_for_log("no bundle there", 2)
    time.sleep(1)  # several looks
    assert answering(server) == {"1"}
    folder.path.rmdir()
    away.rename(folder.path)
    folder.say("version = 9\n")  # which is not there
    wait_until(lambda: "version 9" in status(server)["traffic"]["problem"], "the problem")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_workers(4)
    wait_until(lambda: len(server.workers()) == 2, "the old workers are gone")
    assert answering(server) == {"1"}
    assert "version 9 of iris is not open" in server.log()


def test_when_the_pinned_version_is_taken_away_the_newest_answers_and_the_problem_is_said(
    server: RunningService, folder: ModelFolder
) -> None:
    folder.add(2)
    folder.say("version = 1\n")
    server.wait_for_log("iris/2 is open", 2)
    wait_until(lambda: status(server)["traffic"]["policy"] == "pinned", "the pin")
    folder.remove(1)
    wait_for_version(server, "2")
    problem = "version 1 of iris is not open: the versions that are open are 2"
    wait_until(lambda: {status(server)["traffic"]["problem"] for _ in range(8)} == {problem}, problem)
    assert server.client.get("/openapi.json").status_code == 200


def test_a_policy_that_is_mended_has_no_problem_any_more(server: RunningService, folder: ModelFolder) -> None:
    folder.say("version = \n")
    wait_until(lambda: status(server)["traffic"]["problem"], "a problem")
    (folder.iris / "serving.toml").unlink()
    wait_until(lambda: not status(server)["traffic"]["problem"], "no problem")


def test_a_link_to_itself_keeps_no_other_model_waiting(server: RunningService, folder: ModelFolder) -> None:
    (folder.iris / "serving.toml").symlink_to("serving.toml")
    (folder.iris / "7").symlink_to("7")
    folder.add(2)
    wait_for_version(server, "2")


def test_a_pipe_in_place_of_a_policy_or_a_signature_keeps_no_other_model_waiting(
    server: RunningService, folder: ModelFolder
) -> None:
    os.mkfifo(folder.iris / "serving.toml")
    wait_until(lambda: "it is not a regular file" in status(server)["traffic"]["problem"], "the problem")
    folder.add(2)
    wait_for_version(server, "2")


BAD_POLICIES = {
    "version = 9\n": "version 9 of iris is not open",
    "version = 'one'\n": "iris/serving.toml: Expected `int`, got `str` - at `$.version`",
    "version = \n": "iris/serving.toml: Invalid value (at line 1, column 11)",
    "pin = 1\n": "iris/serving.toml: Object contains unknown field `pin`",
    "canary = 1\n": "iris/serving.toml: canary and canary_share belong together",
    "canary = 1\ncanary_share = 2\n": "iris/serving.toml: Expected `float` <= 1.0 - at `$.canary_share`",
    "version = 1\ncanary = 1\ncanary_share = 0.1\n": "iris/serving.toml: version and canary are both 1",
    "version = 0\n": "iris/serving.toml: Expected `int` >= 1 - at `$.version`",
    f"version = {'[' * 3000}{']' * 3000}\n": "iris/serving.toml: nested too deeply",
    "\xff": "iris/serving.toml: Invalid statement (at line 1, column 1)",
}


def test_a_policy_that_cannot_be_followed_is_reported_and_changes_nothing(
    server: RunningService, folder: ModelFolder
) -> None:
    for text, problem in BAD_POLICIES.items():
        folder.say(text)
        wait_until(lambda problem=problem: problem in status(server)["traffic"]["problem"], problem)  # type: ignore[misc]
        assert answering(server, 8) == {"1"}
    folder.say("")
    wait_until(lambda: status(server)["traffic"]["problem"] == "", "no problem")


def test_the_setting_pins_a_version_and_wins_over_the_file(tmp_path: Path, folder: ModelFolder) -> None:
    folder.add(2)
    folder.say("version = 2\n")
    with RunningService(tmp_path / "log", models_dir=str(folder.path), versions="iris=1") as server:
        assert answering(server) == {"1"}
        assert status(server)["traffic"]["source"] == "DIGITALIS_VERSIONS"


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ("iris=7", "DIGITALIS_VERSIONS: version 7 of iris is not open: the versions that are open are 1"),
        ("wine=1", "DIGITALIS_VERSIONS names wine: the models are iris"),
        ("iris", "expected name=version"),
        ("iris=1+1:0.5", "expected name=version"),
        ("iris=1,iris=2", "expected each model once: iris is there twice"),
    ],
)
def test_a_setting_that_cannot_be_followed_stops_the_start(folder: ModelFolder, versions: str, words: str) -> None:
    ended = failed_start(models_dir=str(folder.path), versions=versions)
    assert ended.returncode == 2
    assert words in ended.stderr


def test_a_bad_policy_file_stops_the_start(folder: ModelFolder) -> None:
    folder.say("version = 5\n")
    ended = failed_start(models_dir=str(folder.path))
    assert (ended.returncode, "iris/serving.toml: version 5 of iris is not open" in ended.stderr) == (2, True)
    folder.say("versoin = 1\n")
    ended = failed_start(models_dir=str(folder.path))
    assert (ended.returncode, "unknown field `versoin`" in ended.stderr) == (2, True)


def test_where_nothing_looks_at_the_folder_a_policy_counts_after_a_reload(tmp_path: Path, folder: ModelFolder) -> None:
    folder.add(2)
    where = str(folder.path)
    with RunningService(tmp_path / "log", workers="2", models_dir=where, models_poll_seconds="0") as server:
        server.wait_for_workers(2)
        folder.say("version = 1\n")
        os.kill(server.workers()[0], signal.SIGKILL)
        server.wait_for_workers(3)
        assert answering(server) == {"2"}
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_workers(5)
        wait_until(lambda: answering(server) == {"1"}, "the pin")


# Loading and unloading over HTTP


@pytest.fixture
def controlled(tmp_path: Path, folder: ModelFolder) -> Iterator[RunningService]:
    """Two workers that look at their folder only when they are asked to, by a key of the scope admin."""
    settings = {
        "models_dir": str(folder.path),
        "models_poll_seconds": "0",
        "repository_api": "true",
        "api_keys": f"admin+predict+metrics:{ADMIN},{CLIENT}",
    }
    with RunningService(tmp_path / "log", MODULE, None, workers="2", **settings) as running:
        running.wait_for_workers(2)
        yield running


def versions_of(server: RunningService) -> set[str]:
    responses = [ask(server, "/v1/models/iris:predict", ROW, CLIENT) for _ in range(20)]
    return {response.json().get("model_version", str(response.status_code)) for response in responses}


def test_a_model_is_loaded_and_unloaded_in_all_workers_before_the_response(
    controlled: RunningService, folder: ModelFolder
) -> None:
    folder.add(2)
    loaded = ask(controlled, "/v2/repository/models/iris/load")
    assert (loaded.status_code, loaded.json()) == (200, {})
    assert versions_of(controlled) == {"2"}
    assert ask(controlled, "/v2/repository/models/iris/unload", {"parameters": {"unload_dependents": True}}).is_success
    assert versions_of(controlled) == {"503"}
    response = ask(controlled, "/v1/models/iris:predict", ROW)
    assert response.json()["error"] == "iris is unloaded: POST /v2/repository/models/iris/load opens it again"
    index = ask(controlled, "/v2/repository/index").json()
    assert index == [{"name": "iris", "version": "", "state": "UNAVAILABLE", "reason": "unloaded"}]
    assert ask(controlled, "/v2/repository/models/iris/load").is_success
    assert versions_of(controlled) == {"2"}
    folder.write(folder.path / "flower/1", 1, name="flower")
    assert ask(controlled, "/v2/repository/models/flower/load").is_success
    assert ask(controlled, "/v1/models/flower:predict", ROW).status_code == 200


def test_a_model_that_cannot_be_loaded_says_why_and_serves_on(controlled: RunningService, folder: ModelFolder) -> None:
    flip_byte(folder.add(2))
    response = ask(controlled, "/v2/repository/models/iris/load")
    assert response.status_code == 400
    assert response.json()["error"].startswith(
        "iris is not loaded as it is in its folder: iris/2: iris/2/model.onnx: damaged: SHA-256 is "
    )
    assert versions_of(controlled) == {"1"}


def test_a_model_is_not_closed_by_loading_it_while_the_folder_is_away(
    controlled: RunningService, folder: ModelFolder
) -> None:
    away = folder.path.rename(folder.path.with_name("away"))
    response = ask(controlled, "/v2/repository/models/iris/load")
    assert response.status_code == 503
    assert response.json()["error"] == "the folder of the models is empty, or cannot be read now"
    assert versions_of(controlled) == {"1"}
    away.rename(folder.path)


def test_each_of_many_loads_is_done_or_told_to_try_again(controlled: RunningService, folder: ModelFolder) -> None:
    for version in range(2, 6):
        folder.add(version)
        with ThreadPoolExecutor(8) as pool:
            path = "/v2/repository/models/iris/load"
            responses = list(pool.map(lambda _: ask(controlled, path), range(8)))  # noqa: B023 - all are there
        assert {response.status_code for response in responses} <= {200, 503}
        assert all("Retry-After" in response.headers for response in responses if response.status_code == 503)
        assert any(response.is_success for response in responses)
        assert versions_of(controlled) == {str(version)}


def test_a_reload_serves_what_was_unloaded(controlled: RunningService) -> None:
    assert ask(controlled, "/v2/repository/models/iris/unload").is_success
    controlled.process.send_signal(signal.SIGHUP)
    controlled.wait_for_workers(4)
    wait_until(lambda: versions_of(controlled) == {"1"}, "iris again")


@pytest.mark.parametrize("action", ["load", "unload"])
def test_only_the_key_of_an_administrator_loads_and_unloads(controlled: RunningService, action: str) -> None:
    path = f"/v2/repository/models/iris/{action}"
    assert httpx.post(f"{controlled.url}{path}", verify=False).status_code == 401
    assert ask(controlled, path, key=CLIENT).status_code == 403
    assert ask(controlled, f"/v2/repository/models/iri/{action}").status_code == 404
    files = ask(controlled, path, {"parameters": {"file:1/model.onnx": "AAAA"}})
    assert files.status_code == 400
    assert versions_of(controlled) == {"1"}


def test_loading_over_http_is_off_unless_it_is_turned_on(server: RunningService) -> None:
    response = ask(server, "/v2/repository/models/iris/load")
    assert response.status_code == 501
    assert "DIGITALIS_REPOSITORY_API=true turns it on" in response.json()["error"]


def test_loading_over_http_cannot_be_turned_on_without_the_key_of_an_administrator(folder: ModelFolder) -> None:
    for keys in ({}, {"api_keys": CLIENT}):
        ended = failed_start(None, models_dir=str(folder.path), repository_api="true", **keys)
        assert ended.returncode == 2
        assert "DIGITALIS_REPOSITORY_API=true needs an API key with the scope admin" in ended.stderr
