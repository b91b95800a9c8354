"""The log: JSON unless it goes to a terminal, a line for each selected request, and no content of requests."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import IRIS_VERSION
from running_service import (
    MODULE,
    ROOT,
    RawConnection,
    RunningService,
    clean_environment,
    failed_start,
    free_port,
    wait_until,
)

from service.observability.log_lines import JsonLines, TerminalLines
from service.observability.request_log import RequestLog
from service.observability.request_timer import RequestTimer
from service.observability.shared_counters import SharedCounters
from service.settings import wants_colour

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
    assert (unknown["status"], unknown["path"], unknown["reason"]) == (404, "/nowhere", "NotFound")
    assert "trace_id" not in unknown
    for content in ("5.12345", "secret", "abstain"):
        assert content not in log


def test_a_request_that_the_worker_rejects_has_a_line_with_a_reason_too(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log") as service, RawConnection(service) as connection:
        connection.exchange(
            b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
        )
        (line,) = request_lines(service)
    assert (line["status"], line["reason"]) == (501, "NotSupported")


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
    timer = RequestTimer(SharedCounters().worker(), "mine")
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
            timer = RequestTimer(SharedCounters().worker(), "")
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


def shown_on_a_terminal(until: str, requests: Callable[[int], None], **environment: str) -> str:
    """What the terminal shows of a service that gets these requests, a function of its port, until these words."""
    master, terminal = pty.openpty()
    port = free_port()
    settings = {"bind": f"127.0.0.1:{port}", "workers": "1", "log_requests": "all"}
    variables = clean_environment(**settings) | {"TERM": "xterm", "NO_COLOR": ""} | environment
    with subprocess.Popen(MODULE, cwd=ROOT, env=variables, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)  # now reading fails, instead of waiting for ever, once the process has ended
        try:
            output = ""
            for words in ("models are open", until):
                while words not in output:
                    output += os.read(master, 4096).decode()
                if words != until:
                    requests(port)
        finally:
            process.terminate()
    os.close(master)
    return output


def three_requests(port: int) -> None:
    """A prediction of two rows, a request that is rejected, and one for an unknown path."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-Request-ID": "mine"}) as client:
        client.post("/v1/models/iris:predict", json={"instances": 2 * ROW["instances"]})
        client.post("/v1/models/iris:predict", json={"instances": [["secret"]]})
        client.get("/nowhere%1b[2J", headers={"X-Request-ID": "last"})


TIME = r"\d\d:\d\d:\d\d"


def test_a_terminal_shows_a_line_a_request_with_status_reason_milliseconds_and_id() -> None:
    output = shown_on_a_terminal("id=last", three_requests, NO_COLOR="1")
    assert re.search(rf"{TIME} \[INFO\] Ready: \d+ models are open\r\n", output)
    model = re.escape(f"iris/{IRIS_VERSION}")
    for line in (
        rf"{TIME} POST /v1/models/iris:predict 200 \d+\.\d ms {model} 2 rows id=mine",
        rf"{TIME} POST /v1/models/iris:predict 400 BadRequest \d+\.\d ms {model} id=mine",
        rf"{TIME} GET /nowhere\\x1b\[2J 404 NotFound \d+\.\d ms id=last",
    ):
        assert re.search(rf"\n{line}\r\n", output), (line, output)
    assert '{"time"' not in output
    assert "\x1b" not in output
    assert "secret" not in output


def test_a_terminal_shows_statuses_in_colour_unless_no_color_is_set() -> None:
    output = shown_on_a_terminal("id=last", three_requests)
    for words in (
        "\x1b[32m200\x1b[0m",
        "\x1b[33m400 BadRequest\x1b[0m",
        "\x1b[33m404 NotFound\x1b[0m",
        "\x1b[90mid=mine\x1b[0m",
    ):
        assert words in output, output
    assert "\x1b[2J" not in output


@pytest.mark.parametrize(
    ("environ", "colour"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "0"}, False),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colour_follows_the_conventions_of_terminals(environ: dict[str, str], colour: bool) -> None:  # noqa: FBT001
    assert wants_colour(environ) is colour


def test_a_file_for_the_log_gets_json_although_there_is_a_terminal(tmp_path: Path) -> None:
    """With Gunicorn's option for it; colour would be noise in it."""
    log, port = tmp_path / "error.log", free_port()
    command = (sys.executable, "-m", "gunicorn", "-c", "python:service.gunicorn_conf", "--error-logfile", str(log))
    master, terminal = pty.openpty()
    environment = clean_environment(bind=f"127.0.0.1:{port}", workers="1")
    with subprocess.Popen(
        (*command, "service.app:create_app()"), cwd=ROOT, env=environment, stdout=terminal, stderr=terminal
    ) as process:
        wait_until(lambda: log.exists() and "models are open" in log.read_text())
        process.terminate()
    for end in (master, terminal):
        os.close(end)
    assert all("message" in json.loads(line) for line in log.read_text().splitlines())


FORGED = "/x\n[2026-11-26 00:00:00 +0000] [1] [INFO] Ready\r\x1b[2J\x9b1m\u2028\u202e\x7f\ud800"
ESCAPED = r"/x\n[2026-11-26 00:00:00 +0000] [1] [INFO] Ready\r\x1b[2J\x9b1m\u2028\u202e\x7f\ud800"


def record_of(error: Exception | None = None) -> logging.LogRecord:
    """A record with a client's text in its message and its fields, as it is logged for a request."""
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("service", logging.INFO, "", 1, "GET %s 404", (FORGED,), exc_info)
    record.fields = {"request_id": "mine", "method": "GET", "path": FORGED, "status": 404, "total_ms": 0.5}
    return record


def test_a_client_can_neither_forge_a_line_nor_command_a_terminal() -> None:
    record = record_of()
    assert re.fullmatch(
        rf"{TIME} GET {re.escape(ESCAPED)} 404 0\.5 ms id=mine", TerminalLines(colour=False).format(record)
    )
    del record.__dict__["fields"]
    assert re.fullmatch(rf"{TIME} \[INFO\] GET {re.escape(ESCAPED)} 404", TerminalLines(colour=False).format(record))


def test_json_lines_have_no_control_characters_even_once_they_are_decoded() -> None:
    line = json.loads(JsonLines().format(record_of()))
    assert (line["message"], line["path"], line["status"]) == (f"GET {ESCAPED} 404", ESCAPED, 404)


def test_a_traceback_keeps_its_line_breaks_and_its_lines_are_indented() -> None:
    with pytest.raises(ValueError, match="two") as caught:
        raise ValueError("two\n\x1blines")
    record = record_of(caught.value)
    first, *rest = TerminalLines(colour=False).format(record).split("\n")
    assert first.endswith(f" GET {ESCAPED} 404 0.5 ms id=mine")
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
        RequestLog("slow", slow_ms=1).on_response(RequestTimer(SharedCounters().worker(), "mine"), {}, status)
    assert [record.levelname for record in caplog.records] == [level]


@pytest.mark.parametrize("log_requests", ["most", "ALL", ""])
def test_an_unknown_value_of_log_requests_stops_the_start(log_requests: str) -> None:
    failed = failed_start(log_requests=log_requests)
    assert failed.returncode == 2
    assert f"DIGITALIS_LOG_REQUESTS={log_requests!r}: expected " in failed.stderr
