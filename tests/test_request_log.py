"""Log lines: JSON where nobody looks on, plain on a terminal, and nothing in them of what was sent."""

import json
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from running_service import MODULE, ROOT, RunningService, clean_environment, free_port

ROW = {"instances": [[5.12345, 3.5, 1.4, 0.2]]}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines(service: RunningService) -> list[dict[str, Any]]:
    """Every line that is JSON; on standard output there is the invitation too."""
    return [json.loads(line) for line in service.log().splitlines() if line.startswith("{")]


def requests(service: RunningService) -> list[dict[str, Any]]:
    found = [line for line in lines(service) if "request_id" in line]
    return [line for line in found if not line["path"].startswith("/v2/health")]


def sent(tmp_path: Path, which: str) -> tuple[list[dict[str, Any]], str]:
    """The lines of a success, a refusal and an unknown path; and the whole log."""
    with RunningService(tmp_path / "log", log_requests=which) as service:
        headers = {"X-Request-ID": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        service.client.post("/v1/models/iris:predict?abstain=false", json=ROW, headers=headers)
        service.client.post("/v1/models/iris:predict", json={"instances": [["secret"]]})
        service.client.get("/nowhere", headers={"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"})
        return requests(service), service.log()


def test_every_request_has_a_line_with_its_ids_and_stages(tmp_path: Path) -> None:
    (success, refusal, unknown), log = sent(tmp_path, "all")
    assert (success["level"], success["message"]) == ("info", "POST /v1/models/iris:predict 200")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", success["time"])
    assert (success["request_id"], success["trace_id"]) == ("mine", TRACE)
    assert [success[key] for key in ("model", "version", "protocol", "rows")] == ["iris", "3", "v1", 1]
    assert 0 < success["infer_ms"] < success["total_ms"]
    assert (refusal["status"], refusal["reason"]) == (400, "BadRequest")
    assert (unknown["status"], unknown["path"]) == (404, "/nowhere")
    assert "trace_id" not in unknown
    for of_the_input in ("5.12345", "secret", "abstain"):
        assert of_the_input not in log


def test_slow_ones_and_refusals_alone(tmp_path: Path) -> None:
    found, _ = sent(tmp_path, "slow")
    assert [line["status"] for line in found] == [400, 404]


def test_what_is_slow_is_set(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", log_requests="slow", slow_ms="1") as service:
        rows = {"instances": [[5.1, 3.5, 1.4, 0.2]] * 5000}
        service.client.post("/v1/models/iris:predict", json=rows)
        assert [line["rows"] for line in requests(service)] == [5000]


def test_no_line_at_all(tmp_path: Path) -> None:
    found, _ = sent(tmp_path, "none")
    assert found == []


def test_gunicorns_own_lines_are_json_too(service: RunningService) -> None:
    messages = [line["message"] for line in lines(service)]
    assert any(message.startswith("Listening at: ") for message in messages)
    assert any(message.startswith("Ready: ") for message in messages)


def test_on_a_terminal_lines_are_plain() -> None:
    here, there = pty.openpty()
    environment = clean_environment(bind=f"127.0.0.1:{free_port()}", workers="1", models_dir=str(ROOT / "models"))
    with subprocess.Popen(MODULE, cwd=ROOT, env=environment, stdout=there, stderr=there) as process:
        try:
            shown = ""
            while "models are open" not in shown:
                shown += os.read(here, 4096).decode()
        finally:
            process.terminate()
    assert re.search(r"\[INFO\] Ready: \d+ models are open", shown)
    assert '{"time"' not in shown


@pytest.mark.parametrize("which", ["most", "ALL", ""])
def test_another_choice_stops_the_start(which: str) -> None:
    environment = clean_environment(log_requests=which)
    found = subprocess.run(MODULE, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 2
    assert f"DIGITALIS_LOG_REQUESTS={which!r}: expected " in found.stderr
