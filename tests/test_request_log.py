"""The log: JSON unless it goes to a terminal, a line for each selected request, and no content of requests."""

import json
import logging
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import IRIS_VERSION
from running_service import MODULE, ROOT, RunningService, clean_environment, failed_start, free_port

from service.observability.request_log import JsonLines, PlainLines, RequestLog
from service.observability.request_timer import RequestTimer
from service.observability.shared_counters import SharedCounters

ROW = {"instances": [[5.12345, 3.5, 1.4, 0.2]]}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def json_lines(service: RunningService) -> list[dict[str, Any]]:
    """Every line that is JSON; the output also has the startup banner."""
    return [json.loads(line) for line in service.log().splitlines() if line.startswith("{")]


def request_lines(service: RunningService) -> list[dict[str, Any]]:
    """The lines of requests, without those of health checks."""
    lines = [line for line in json_lines(service) if "request_id" in line]
    return [line for line in lines if not line["path"].startswith("/v2/health")]


def log_of_three_requests(tmp_path: Path, log_requests: str) -> tuple[list[dict[str, Any]], str]:
    """Send a good request, a bad one and one for an unknown path: their lines, and the whole log.

    No request counts as slow.
    """
    with RunningService(tmp_path / "log", log_requests=log_requests, slow_ms="1000000") as service:
        headers = {"X-Request-ID": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        service.client.post("/v1/models/iris:predict?abstain=false", json=ROW, headers=headers)
        service.client.post("/v1/models/iris:predict", json={"instances": [["secret"]]})
        service.client.get("/nowhere", headers={"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"})
        return request_lines(service), service.log()


def test_every_request_has_a_line_with_its_ids_and_stages(tmp_path: Path) -> None:
    (success, rejected, unknown), log = log_of_three_requests(tmp_path, "all")
    assert (success["level"], success["message"]) == ("info", "POST /v1/models/iris:predict 200")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", success["time"])
    assert (success["request_id"], success["trace_id"]) == ("mine", TRACE)
    assert [success[key] for key in ("model", "version", "protocol", "rows")] == ["iris", IRIS_VERSION, "v1", 1]
    assert 0 < success["infer_ms"] < success["total_ms"]
    assert (rejected["status"], rejected["reason"]) == (400, "BadRequest")
    assert (unknown["status"], unknown["path"]) == (404, "/nowhere")
    assert "trace_id" not in unknown
    for content in ("5.12345", "secret", "abstain"):
        assert content not in log


def test_log_requests_slow_logs_rejected_requests_but_no_fast_successful_ones(tmp_path: Path) -> None:
    lines, _ = log_of_three_requests(tmp_path, "slow")
    assert [line["status"] for line in lines] == [400, 404]


def test_log_requests_slow_logs_successful_requests_that_take_slow_ms_or_longer(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", log_requests="slow", slow_ms="1") as service:
        rows = {"instances": [[5.1, 3.5, 1.4, 0.2]] * 5000}
        service.client.post("/v1/models/iris:predict", json=rows)
        assert [line["rows"] for line in request_lines(service)] == [5000]


@pytest.mark.parametrize(("duration_ns", "lines"), [(999_999, 0), (1_000_000, 1)])
def test_a_request_is_slow_from_slow_ms_on(duration_ns: int, lines: int, caplog: pytest.LogCaptureFixture) -> None:
    timer = RequestTimer(SharedCounters({}).worker(), "mine")
    timer.durations_ns = (0, 0, 0, duration_ns)
    with caplog.at_level("INFO"):
        RequestLog("slow", slow_ms=1).on_response(timer, {}, 200)
    assert len(caplog.records) == lines


@pytest.mark.parametrize(("mode", "lines"), [("slow", 2), ("all", 5)])
def test_an_overload_does_not_fill_the_log(mode: str, lines: int, caplog: pytest.LogCaptureFixture) -> None:
    """Of the requests with status 503, one in a second is logged."""
    log = RequestLog(mode, 1000)
    with caplog.at_level(logging.INFO, "service.requests"):
        for at in (5.0, 5.1, 5.9, 6.1, 6.2):
            timer = RequestTimer(SharedCounters({}).worker(), "")
            timer.finish(503)
            timer.finished_at = int(at * 1e9)
            log.on_response(timer, {}, 503)
    assert len(caplog.records) == lines


def test_log_requests_none_logs_no_request(tmp_path: Path) -> None:
    lines, log = log_of_three_requests(tmp_path, "none")
    assert lines == []
    assert "models are open" in log


def test_the_lines_of_gunicorn_are_json_too(service: RunningService) -> None:
    messages = [line["message"] for line in json_lines(service)]
    assert any(message.startswith("Listening at: ") for message in messages)
    assert any(message.startswith("Ready: ") for message in messages)


def test_lines_on_a_terminal_are_plain_text() -> None:
    master, terminal = pty.openpty()
    environment = clean_environment(bind=f"127.0.0.1:{free_port()}", workers="1", models_dir=str(ROOT / "models"))
    with subprocess.Popen(MODULE, cwd=ROOT, env=environment, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)  # now reading fails, instead of waiting for ever, once the process has ended
        try:
            output = ""
            while "models are open" not in output:
                output += os.read(master, 4096).decode()
        finally:
            process.terminate()
    os.close(master)
    assert re.search(r"\[INFO\] Ready: \d+ models are open", output)
    assert '{"time"' not in output


FORGED = "/x\n[2026-11-26 00:00:00 +0000] [1] [INFO] Ready\r\x1b[2J\x9b1m\u2028\u202e\x7f\ud800"
ESCAPED = r"/x\n[2026-11-26 00:00:00 +0000] [1] [INFO] Ready\r\x1b[2J\x9b1m\u2028\u202e\x7f\ud800"


def record_of(error: Exception | None = None) -> logging.LogRecord:
    """A record with a client's text in its message and its fields, as it is logged for a request."""
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("service", logging.INFO, "", 1, "GET %s 404", (FORGED,), exc_info)
    record.fields = {"path": FORGED, "status": 404}
    return record


def test_a_client_can_neither_forge_a_line_nor_command_a_terminal() -> None:
    plain = PlainLines("[%(levelname)s] %(message)s").format(record_of())
    assert plain == f"[INFO] GET {ESCAPED} 404"


def test_json_lines_have_no_control_characters_even_once_they_are_decoded() -> None:
    line = json.loads(JsonLines().format(record_of()))
    assert (line["message"], line["path"], line["status"]) == (f"GET {ESCAPED} 404", ESCAPED, 404)


def test_a_traceback_keeps_its_line_breaks_and_its_lines_are_indented() -> None:
    with pytest.raises(ValueError, match="two") as caught:
        raise ValueError("two\n\x1blines")
    record = record_of(caught.value)
    first, *rest = PlainLines("%(message)s").format(record).split("\n")
    assert first == f"GET {ESCAPED} 404"
    assert [rest[0], *rest[-2:]] == ["  Traceback (most recent call last):", "  ValueError: two", r"  \x1blines"]
    assert all(line.startswith("  ") for line in rest)
    assert json.loads(JsonLines().format(record))["exception"] == "\n".join(rest)


def test_a_line_break_in_a_path_makes_no_line_of_its_own(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", log_requests="all") as service:
        service.client.get("/nowhere%0aREADY%1b[2J")
        (line,) = request_lines(service)
        assert line["path"] == r"/nowhere\nREADY\x1b[2J"
        assert line["message"] == r"GET /nowhere\nREADY\x1b[2J 404"


@pytest.mark.parametrize(("status", "level"), [(503, "INFO"), (501, "INFO"), (500, "ERROR"), (504, "ERROR")])
def test_faults_of_the_service_are_errors_and_what_it_rejects_is_not(
    status: int, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        RequestLog("slow", slow_ms=1).on_response(RequestTimer(SharedCounters({}).worker(), "mine"), {}, status)
    assert [record.levelname for record in caplog.records] == [level]


@pytest.mark.parametrize("log_requests", ["most", "ALL", ""])
def test_an_unknown_value_of_log_requests_stops_the_start(log_requests: str) -> None:
    failed = failed_start(log_requests=log_requests)
    assert failed.returncode == 2
    assert f"DIGITALIS_LOG_REQUESTS={log_requests!r}: expected " in failed.stderr
