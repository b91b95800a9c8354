"""What Prometheus reads, right across workers and their ends; request ids; how long an answer took."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import IRIS_VERSION
from prometheus_client.parser import text_string_to_metric_families
from real_prometheus import Prometheus, executable
from running_service import ROOT, RunningService

from service.observability.middleware import RequestMiddleware
from service.observability.request_timer import RequestTimer
from service.observability.shared_counters import SharedCounters

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[RunningService]:
    """Two workers, which have answered nothing yet."""
    with RunningService(tmp_path / "log", workers="2") as running:
        running.wait_for_workers(2)
        yield running


def samples(service: RunningService) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by its name and labels, read over a connection of its own."""
    families = text_string_to_metric_families(httpx.get(f"{service.url}/metrics").text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(service: RunningService, name: str, **labels: str) -> float:
    found = {
        key: it for key, it in samples(service).items() if key[0] == name and labels.items() <= dict(key[1]).items()
    }
    assert len(found) == 1, found
    return next(iter(found.values()))


def ask(service: RunningService, body: Any = ROW, model: str = "iris") -> httpx.Response:
    """Over a connection of its own, so that any worker may answer."""
    return httpx.post(f"{service.url}/v1/models/{model}:predict", json=body)


def test_a_thousand_answers_are_a_thousand_also_when_a_worker_is_killed(served: RunningService) -> None:
    for _ in range(1000):
        assert ask(served).status_code == 200
    asked = {"model": "iris", "version": IRIS_VERSION, "protocol": "v1", "status": "200"}
    assert value(served, "digitalis_requests_total", **asked) == 1000
    time.sleep(1)
    os.kill(served.workers()[0], signal.SIGKILL)
    assert value(served, "digitalis_requests_total", **asked) == 1000
    served.wait_for_workers(3)
    assert ask(served).status_code == 200
    assert value(served, "digitalis_requests_total", **asked) == 1001
    flying = [it for (name, _), it in samples(served).items() if name == "digitalis_requests_in_flight"]
    assert sorted(flying) == [0, 1]  # the one that reads this


def test_rows_labels_confidence_and_stages_are_counted(served: RunningService) -> None:
    rows = {"instances": [[5.1, 3.5, 1.4, 0.2]] * 3 + [[6.3, 3.3, 6.0, 2.5]]}
    answers = [ask(served), ask(served, rows)]
    predictions = [one for answer in answers for one in answer.json()["predictions"]]
    iris = {"model": "iris", "version": IRIS_VERSION}
    assert value(served, "digitalis_batch_rows_count", **iris) == 2
    assert value(served, "digitalis_batch_rows_sum", **iris) == 5
    assert value(served, "digitalis_batch_rows_bucket", le="1.0", **iris) == 1
    assert value(served, "digitalis_predictions_total", label="setosa", **iris) == 4
    assert value(served, "digitalis_predictions_total", label="virginica", **iris) == 1
    assert value(served, "digitalis_prediction_confidence_ratio_count", **iris) == 5
    total = sum(one["probability"] for one in predictions)
    assert value(served, "digitalis_prediction_confidence_ratio_sum", **iris) == pytest.approx(total, abs=1e-4)
    below = sum(one["probability"] <= 0.99 for one in predictions)
    assert value(served, "digitalis_prediction_confidence_ratio_bucket", le="0.99", **iris) == below
    seconds = {
        stage: value(served, "digitalis_stage_duration_seconds_sum", stage=stage, **iris)
        for stage in ("decode", "infer", "encode", "total")
    }
    assert 0 < sum(seconds.values()) - seconds["total"] < seconds["total"] < 1
    assert value(served, "digitalis_stage_duration_seconds_count", stage="total", **iris) == 2


def test_refusals_are_counted_by_their_reason_and_what_is_of_no_model_apart(served: RunningService) -> None:
    assert ask(served, {"instances": []}).status_code == 400
    assert ask(served, model="lily").status_code == 404
    blank = (ROOT / "tests/corpus/files/blank.png").read_bytes()
    assert httpx.post(f"{served.url}/v1/models/mnist:predict", files={"image": blank}).status_code == 422
    assert value(served, "digitalis_rejections_total", model="iris", reason="BadRequest") == 1
    assert value(served, "digitalis_rejections_total", model="mnist", reason="UnprocessableInput") == 1
    assert value(served, "digitalis_requests_total", model="mnist", status="422") == 1
    assert value(served, "digitalis_requests_total", model="", status="404") == 1


class FailingHook:
    """A request hook that raises."""

    def on_response(self, timer: RequestTimer, environ: dict[str, Any], status: int) -> None:
        raise OSError("the disk is full")


def test_a_request_without_a_response_is_counted_once_and_no_longer_in_flight() -> None:
    def application(_environ: dict[str, Any], _start: Any) -> list[bytes]:
        raise SystemExit

    counters = SharedCounters({})
    with pytest.raises(SystemExit):
        RequestMiddleware(application, [], counters.worker())({}, lambda *_: None)
    assert sum(counters.unattributed()) == 1
    assert counters.processes() == [(0, os.getpid(), 0)]


def test_a_failure_to_record_a_request_is_logged_and_the_response_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    def application(_environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        return [b"body"]

    counters, sent = SharedCounters({}), list[str]()
    middleware = RequestMiddleware(application, [FailingHook()], counters.worker())
    assert list(middleware({}, lambda status, *_: sent.append(status))) == [b"body"]
    assert sent == ["200 OK"]
    assert "the disk is full" in caplog.text
    assert counters.processes() == [(0, os.getpid(), 0)]


def test_a_timeout_that_races_a_late_response_is_counted_once() -> None:
    """Both finish the request at the same time, from two threads: exactly one of them counts it."""
    counters = SharedCounters({})
    worker = counters.worker()
    for _ in range(200):
        timer, barrier = RequestTimer(worker, "id"), threading.Barrier(2)

        def finish(status: int, timer: RequestTimer = timer, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return timer.finish(status)

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(finish, (200, 504))) == [False, True]
    assert sum(counters.unattributed()) == 200
    assert counters.processes() == [(0, os.getpid(), 0)]


def test_models_and_workers_are_described(served: RunningService) -> None:
    status = served.client.get("/v1/models/iris").json()
    assert value(served, "digitalis_model_info", model="iris", digest=status["digest"], device="cpu") == 1
    assert 0 < value(served, "digitalis_model_load_seconds", model="mnist") < 10
    memory = [it for (name, _), it in samples(served).items() if name == "digitalis_worker_resident_memory_bytes"]
    assert len(memory) == 2
    assert all(2**24 < it < 2**31 for it in memory)


def test_openmetrics_is_given_to_who_accepts_it(service: RunningService) -> None:
    answer = service.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert service.client.get("/metrics").headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("given", ["abc-123", "a" * 128, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
def test_a_sane_request_id_comes_back(service: RunningService, given: str) -> None:
    for answer in (
        service.client.post("/v1/models/iris:predict", json=ROW, headers={"X-Request-ID": given}),
        service.client.get("/nowhere", headers={"X-Request-ID": given}),
    ):
        assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", [None, "", "a b", "a" * 129, '"><script>', "a;b"])
def test_any_other_request_gets_an_id_of_our_own(service: RunningService, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given}
    found = [service.client.get("/v2", headers=headers).headers["X-Request-ID"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{32}", it) for it in found)
    assert found[0] != found[1]


def test_every_answer_says_how_long_it_took(service: RunningService) -> None:
    timing = service.client.post("/v1/models/iris:predict", json=ROW).headers["Server-Timing"]
    found = dict(re.findall(r"(\w+);dur=([0-9.]+)", timing))
    assert list(found) == ["decode", "infer", "encode", "total"]
    assert 0 < float(found["infer"]) < float(found["total"]) < 10_000
    for answer in (service.client.get("/v2"), service.client.post("/v1/models/iris:predict", content=b"{")):
        assert re.fullmatch(r"total;dur=[0-9.]+", answer.headers["Server-Timing"])


@pytest.mark.slow
def test_promtool_finds_nothing_to_say(served: RunningService) -> None:
    ask(served)
    ask(served, {"instances": []})
    page = httpx.get(f"{served.url}/metrics").text
    checked = subprocess.run(
        [executable("promtool"), "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.fixture
def prometheus(served: RunningService, tmp_path: Path) -> Iterator[Prometheus]:
    """A real one, which scrapes the service, and knows the rules that are shipped."""
    with Prometheus(served.address, tmp_path) as running:
        yield running


@pytest.mark.slow
def test_a_real_prometheus_scrapes_it(served: RunningService, prometheus: Prometheus) -> None:
    for _ in range(7):
        ask(served)
    (found,) = prometheus.query('sum(digitalis_requests_total{model="iris", status="200"}) > 6')
    assert found["value"][1] == "7"


@pytest.mark.slow
def test_every_query_of_the_dashboard_has_an_answer(served: RunningService, prometheus: Prometheus) -> None:
    prometheus.query('digitalis_model_info{model="iris"}')
    panels = json.loads((ROOT / "docs/grafana.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(queries) >= 16
    for _ in range(3):  # a rate needs counts that grow while it looks on
        ask(served, {"instances": ROW["instances"] * 200})
        ask(served, {"instances": []})
        time.sleep(1.1)
    for query in queries:
        prometheus.query(query.replace("$model", "iris").replace("$__rate_interval", "30s"))
