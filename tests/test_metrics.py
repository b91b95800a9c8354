"""Metrics that are right across workers, also after one was killed; request ids; the Server-Timing header."""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import IRIS_VERSION
from prometheus_client.parser import text_string_to_metric_families
from real_prometheus import Prometheus, executable
from running_service import ROOT, ROW, RunningService, predict, wait_until

from service.observability.middleware import TIMER, RequestMiddleware
from service.observability.request_timer import RequestTimer
from service.observability.shared_counters import SharedCounters

Sample = tuple[str, frozenset[tuple[str, str]]]  # name and labels


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningService]:
    """Two workers that have handled no prediction yet."""
    with RunningService(tmp_path / "log", workers="2") as running:
        running.wait_for_workers(2)
        yield running


def samples(server: RunningService) -> dict[Sample, float]:
    """Every sample, read over a connection of its own."""
    families = text_string_to_metric_families(httpx.get(f"{server.url}/metrics", timeout=60, verify=False).text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(server: RunningService, name: str, **labels: str) -> float:
    """The value of the one sample that has this name and these labels."""
    found = {
        key: it for key, it in samples(server).items() if key[0] == name and labels.items() <= dict(key[1]).items()
    }
    assert len(found) == 1, found
    return next(iter(found.values()))


def wait_for_value(server: RunningService, name: str, expected: float, **labels: str) -> None:
    """For metrics of predicted labels and confidences: a worker may keep those of the last second to itself."""
    wait_until(lambda: value(server, name, **labels) == expected, f"{name}{labels} is {expected}")


def test_all_of_a_thousand_requests_are_counted_and_still_are_when_a_worker_was_killed(server: RunningService) -> None:
    with server.new_client(Connection="close") as client:  # each request may be handled by either worker
        for _ in range(1000):
            assert client.post("/v1/models/iris:predict", json=ROW).status_code == 200
    labels = {"model": "iris", "version": IRIS_VERSION, "protocol": "v1", "status": "200"}
    assert value(server, "digitalis_requests_total", **labels) == 1000
    wait_for_value(server, "digitalis_predictions_total", 1000, model="iris", label="setosa")
    os.kill(server.workers()[0], signal.SIGKILL)
    assert value(server, "digitalis_requests_total", **labels) == 1000
    assert value(server, "digitalis_predictions_total", model="iris", label="setosa") == 1000
    server.wait_for_workers(3)
    assert predict(server).status_code == 200
    assert value(server, "digitalis_requests_total", **labels) == 1001
    in_flight = [it for (name, _), it in samples(server).items() if name == "digitalis_requests_in_flight"]
    assert sorted(in_flight) == [0, 1]  # the request that reads this


def test_rows_labels_confidence_and_stages_are_counted(server: RunningService) -> None:
    rows = {"instances": [[5.1, 3.5, 1.4, 0.2]] * 3 + [[6.3, 3.3, 6.0, 2.5]]}
    responses = [predict(server), predict(server, rows)]
    predictions = [one for response in responses for one in response.json()["predictions"]]
    iris = {"model": "iris", "version": IRIS_VERSION}
    assert value(server, "digitalis_batch_rows_count", **iris) == 2
    assert value(server, "digitalis_batch_rows_sum", **iris) == 5
    assert value(server, "digitalis_batch_rows_bucket", le="1.0", **iris) == 1
    wait_for_value(server, "digitalis_predictions_total", 4, label="setosa", **iris)
    wait_for_value(server, "digitalis_predictions_total", 1, label="virginica", **iris)
    assert value(server, "digitalis_prediction_confidence_ratio_count", **iris) == 5
    total = sum(one["probability"] for one in predictions)
    assert value(server, "digitalis_prediction_confidence_ratio_sum", **iris) == pytest.approx(total, abs=1e-4)
    below = sum(one["probability"] <= 0.99 for one in predictions)
    assert value(server, "digitalis_prediction_confidence_ratio_bucket", le="0.99", **iris) == below
    seconds = {
        stage: value(server, "digitalis_stage_duration_seconds_sum", stage=stage, **iris)
        for stage in ("decode", "infer", "encode", "total")
    }
    assert 0 < sum(seconds.values()) - seconds["total"] < seconds["total"] < 1
    assert value(server, "digitalis_stage_duration_seconds_count", stage="total", **iris) == 2


def test_rejections_are_counted_by_reason_and_requests_for_no_model_separately(server: RunningService) -> None:
    assert predict(server, {"instances": []}).status_code == 400
    assert predict(server, model="lily").status_code == 404
    blank = (ROOT / "tests/corpus/files/blank.png").read_bytes()
    assert server.client.post("/v1/models/mnist:predict", files={"image": blank}).status_code == 422
    assert value(server, "digitalis_rejections_total", model="iris", reason="BadRequest") == 1
    assert value(server, "digitalis_rejections_total", model="mnist", reason="UnprocessableInput") == 1
    assert value(server, "digitalis_requests_total", model="mnist", status="422") == 1
    assert value(server, "digitalis_requests_total", model="", status="404") == 1


class FailingHook:
    """A request hook that raises."""

    def on_response(self, timer: RequestTimer, environ: dict[str, Any], status: int) -> None:
        raise OSError("the disk is full")


def test_a_request_without_a_response_is_counted_once_and_no_longer_in_flight() -> None:
    def application(_environ: dict[str, Any], _start: Any) -> list[bytes]:
        raise SystemExit

    counters = SharedCounters()
    with pytest.raises(SystemExit):
        RequestMiddleware(application, [], counters.worker())({}, lambda *_: None)
    assert sum(counters.unattributed()) == 1
    assert counters.processes() == [(0, os.getpid(), 0)]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "BadRequest"),
        (408, "RequestTimeout"),
        (413, "PayloadTooLarge"),
        (431, "RequestHeaderFieldsTooLarge"),
        (500, "InternalServerError"),
        (501, "NotSupported"),
        (503, "ServiceOverloaded"),
        (504, "GatewayTimeout"),
    ],
)
def test_a_rejection_by_the_server_has_the_name_that_the_application_would_give_it(status: int, reason: str) -> None:
    worker = SharedCounters().worker()
    timer = RequestTimer(worker, "id")
    RequestMiddleware(lambda *_: [], [], worker).record({TIMER: timer}, status)
    assert timer.reason == reason


def test_a_failure_to_record_a_request_is_logged_and_the_response_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    def application(_environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        return [b"body"]

    counters, sent = SharedCounters(), list[str]()
    middleware = RequestMiddleware(application, [FailingHook()], counters.worker())
    assert list(middleware({}, lambda status, *_: sent.append(status))) == [b"body"]
    assert sent == ["200 OK"]
    assert "the disk is full" in caplog.text
    assert counters.processes() == [(0, os.getpid(), 0)]


def test_a_timeout_that_races_a_late_response_is_counted_once() -> None:
    """Both finish the request at the same time, from two threads: exactly one of them counts it."""
    counters = SharedCounters()
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


def test_metrics_describe_the_models_and_the_workers(server: RunningService) -> None:
    status = server.client.get("/v1/models/iris").json()
    assert value(server, "digitalis_model_info", model="iris", digest=status["digest"], device="cpu") == 1
    assert 0 < value(server, "digitalis_model_load_seconds", model="mnist") < 10
    memory = [it for (name, _), it in samples(server).items() if name == "digitalis_worker_resident_memory_bytes"]
    assert len(memory) == 2
    assert all(2**24 < it < 2**31 for it in memory)


def test_a_client_that_accepts_openmetrics_gets_openmetrics(service: RunningService) -> None:
    response = service.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")
    assert service.client.get("/metrics").headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("media_type", ["application/openmetrics-text", "text/plain"])
def test_a_client_that_accepts_a_version_that_is_no_number_gets_the_text_format(
    service: RunningService, media_type: str
) -> None:
    response = service.client.get("/metrics", headers={"Accept": f"{media_type}; version=1.x"})
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("given", ["abc-123", "a" * 128, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
def test_a_well_formed_request_id_is_returned(service: RunningService, given: str) -> None:
    for response in (
        service.client.post("/v1/models/iris:predict", json=ROW, headers={"X-Request-ID": given}),
        service.client.get("/nowhere", headers={"X-Request-ID": given}),
    ):
        assert response.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", [None, "", "a b", "a" * 129, '"><script>', "a;b"])
def test_any_other_request_gets_a_random_id(service: RunningService, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given}
    found = [service.client.get("/v2", headers=headers).headers["X-Request-ID"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{32}", it) for it in found)
    assert found[0] != found[1]


def test_every_response_has_the_durations_of_its_stages(service: RunningService) -> None:
    timing = service.client.post("/v1/models/iris:predict", json=ROW).headers["Server-Timing"]
    found = dict(re.findall(r"(\w+);dur=([0-9.]+)", timing))
    assert list(found) == ["decode", "infer", "encode", "total"]
    assert 0 < float(found["infer"]) < float(found["total"]) < 10_000
    for response in (service.client.get("/v2"), service.client.post("/v1/models/iris:predict", content=b"{")):
        assert re.fullmatch(r"total;dur=[0-9.]+", response.headers["Server-Timing"])


@pytest.mark.slow
def test_promtool_accepts_the_metrics(server: RunningService) -> None:
    predict(server)
    predict(server, {"instances": []})
    page = server.client.get("/metrics").text
    checked = subprocess.run(
        [executable("promtool"), "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.fixture
def prometheus(server: RunningService, tmp_path: Path) -> Iterator[Prometheus]:
    """A real Prometheus, which scrapes the server once a second and evaluates the rules of docs/."""
    with Prometheus(server.address, tmp_path) as running:
        yield running


@pytest.mark.slow
def test_prometheus_scrapes_the_metrics(server: RunningService, prometheus: Prometheus) -> None:
    for _ in range(7):
        predict(server)
    (found,) = prometheus.query('sum(digitalis_requests_total{model="iris", status="200"}) > 6')
    assert found["value"][1] == "7"


@pytest.mark.slow
def test_every_query_of_the_dashboard_has_a_result(server: RunningService, prometheus: Prometheus) -> None:
    prometheus.query('digitalis_model_info{model="iris"}')
    panels = json.loads((ROOT / "docs/grafana.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(queries) >= 16
    for count in (1, 2, 3):  # a rate needs counts that grow from one scrape to the next
        predict(server, {"instances": ROW["instances"] * 200})
        predict(server, {"instances": []})
        prometheus.query(f"sum(digitalis_rejections_total) >= {count}")
    for query in queries:
        prometheus.query(query.replace("$model", "iris").replace("$__rate_interval", "30s"))
