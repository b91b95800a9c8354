"""The unit for systemd, and what the service tells systemd."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from running_service import (
    DEADLINE,
    MODULE,
    ROOT,
    START_TIMEOUT,
    clean_environment,
    failed_start,
    free_port,
    wait_until,
)

from service.settings import Settings

UNIT = ROOT / "deploy/systemd/digitalis.service"


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed: it is in Debian's package systemd")
    text = UNIT.read_text().replace("/opt/digitalis/bin/digitalis", sys.executable)  # it must be there
    (tmp_path / UNIT.name).write_text(text)
    verified = subprocess.run(
        (analyze, "verify", "--man=no", tmp_path / UNIT.name), capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_when_systemd_is_told_that_the_service_is_ready_requests_are_answered(tmp_path: Path) -> None:
    assert "Type=notify\n" in UNIT.read_text()
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(START_TIMEOUT)
        environment = clean_environment(bind=f"127.0.0.1:{port}", workers="1")
        environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        with subprocess.Popen(MODULE, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
            try:
                assert systemd.recv(1000).startswith(b"READY=1\n")
                assert httpx.get(f"http://127.0.0.1:{port}/v2/health/ready", timeout=DEADLINE).status_code == 200
            finally:
                process.terminate()


def test_systemd_is_not_told_so_by_a_start_that_fails_and_does_not_try_it_again(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(0)
        (tmp_path / "models").mkdir()
        failed = failed_start({"NOTIFY_SOCKET": str(tmp_path / "notify")}, models_dir=str(tmp_path / "models"))
        assert f"RestartPreventExitStatus={failed.returncode}\n" in UNIT.read_text()
        with pytest.raises(BlockingIOError):
            systemd.recv(1000)


def test_systemd_may_hold_the_socket_and_start_the_service_at_the_first_request() -> None:
    """As a socket unit does: no request is lost while the service starts, or is restarted."""
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        pytest.skip("systemd-socket-activate is not installed: it is in Debian's package systemd")
    address = f"127.0.0.1:{free_port()}"
    environment = clean_environment(bind=address, workers="1")
    passed_on = [f"--setenv={name}" for name in environment]
    command = (activate, f"--listen={address}", *passed_on, *MODULE)
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: not is_free(address), "the socket listens")
            assert httpx.get(f"http://{address}/v2/health/ready", timeout=START_TIMEOUT).status_code == 200
        finally:
            process.terminate()


def is_free(address: str) -> bool:
    """Whether nothing listens there; nobody connects to find out."""
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True


def test_systemd_waits_for_longer_than_a_shutdown_takes() -> None:
    found = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert found
    assert int(found[1]) > Settings().graceful_timeout + Settings().drain_delay
