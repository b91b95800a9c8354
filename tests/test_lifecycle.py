"""Signals to a running service: shutdown with a drain delay, reload, a new parent, workers that stop or are killed."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from running_service import (
    COMMANDS,
    DEADLINE,
    MODULE,
    ROOT,
    RawConnection,
    RunningService,
    clean_environment,
    patched_service,
    predict,
    wait_until,
)

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


def readiness(server: RunningService) -> int:
    """The status of the readiness check, over a connection of its own."""
    return httpx.get(f"{server.url}/v2/health/ready", timeout=DEADLINE, verify=False).status_code


def health_command(server: RunningService) -> int:
    """The exit status of `python -m service --health`."""
    environment = clean_environment(bind=server.address)
    return subprocess.run((*MODULE, "--health"), cwd=ROOT, env=environment, check=False).returncode


def test_during_the_drain_delay_the_service_is_not_ready_and_serves_everything(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", workers="2", drain_delay="3600") as server:
        server.wait_for_workers(2)
        with RawConnection(server) as old:
            assert old.exchange(LIVE).startswith(b"HTTP/1.1 200")
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: {readiness(server) for _ in range(10)} == {503})
            assert health_command(server) == 1
            for _ in range(10):
                assert predict(server).status_code == 200
            assert httpx.get(f"{server.url}/v2/health/live", timeout=DEADLINE).status_code == 200
            response = old.exchange(LIVE)
            assert response.startswith(b"HTTP/1.1 200")
            assert b"Connection: close" not in response
        server.process.send_signal(signal.SIGTERM)  # it ends the delay
        assert server.process.wait(DEADLINE) == 0


def test_without_a_drain_delay_and_after_it_connections_are_refused(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", drain_delay="1") as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(DEADLINE) == 0
        with pytest.raises(ConnectionRefusedError):
            RawConnection(server)


def test_sigint_during_the_drain_delay_ends_the_service_at_once(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", drain_delay="3600") as server:
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: readiness(server) == 503)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(DEADLINE) == 0


def test_sigterm_during_a_reload_begins_the_shutdown_at_once(tmp_path: Path) -> None:
    """Gunicorn itself looks at no signal while it waits for the old workers."""
    with RunningService(tmp_path / "log", workers="2", drain_delay="3600", graceful_timeout="3600") as server:
        server.wait_for_workers(2)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("Booting worker", 3)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: readiness(server) == 503)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(DEADLINE) == 0


def test_the_old_worker_serves_while_the_new_one_opens_its_models(tmp_path: Path) -> None:
    patch = "(folder / 'opened').touch()\nwhile (folder / 'hold').exists(): time.sleep(0.005)"
    with patched_service(tmp_path, patch, graceful_timeout="1") as server:
        (old,) = server.workers()
        (tmp_path / "opened").unlink()
        (tmp_path / "hold").touch()
        server.process.send_signal(signal.SIGHUP)
        wait_until((tmp_path / "opened").exists)
        server.wait_for_log("Handling signal: hup")
        for _ in range(100):
            assert predict(server).status_code == 200
            assert readiness(server) == 200
        assert old in server.workers()
        (tmp_path / "hold").unlink()
        wait_until(lambda: old not in server.workers())
        assert predict(server).status_code == 200


@COMMANDS
def test_sigusr2_starts_a_new_parent_on_the_same_sockets(tmp_path: Path, command: tuple[str, ...]) -> None:
    with RunningService(tmp_path / "log", command, drain_delay="3600") as server:
        (worker,) = server.workers()
        server.process.send_signal(signal.SIGUSR2)
        server.wait_for_workers(2)
        (parent,) = set(server.workers()) - {worker}
        try:
            server.process.send_signal(signal.SIGTERM)  # no shutdown of the service: it neither waits nor is not ready
            assert server.process.wait(DEADLINE) == 0
            assert readiness(server) == 200
            assert predict(server).status_code == 200
        finally:
            os.kill(parent, signal.SIGQUIT)
            wait_until(lambda: not Path(f"/proc/{parent}").exists())


def test_a_new_parent_can_be_ended_again_and_the_service_stays_ready(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", drain_delay="3600") as server:
        (worker,) = server.workers()
        server.process.send_signal(signal.SIGUSR2)
        server.wait_for_workers(2)
        (parent,) = set(server.workers()) - {worker}
        os.kill(parent, signal.SIGTERM)
        wait_until(lambda: server.workers() == [worker])
        assert readiness(server) == 200
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: readiness(server) == 503)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(DEADLINE) == 0


def test_sigusr2_leaves_the_old_parent_serving_if_the_new_one_cannot_start(tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models/iris", models / "iris")
    with RunningService(tmp_path / "log", models_dir=str(models)) as server:
        (worker,) = server.workers()
        shutil.rmtree(models / "iris")
        server.process.send_signal(signal.SIGUSR2)
        server.wait_for_log("no bundle there; DIGITALIS_MODELS_DIR names the folder")
        wait_until(lambda: server.workers() == [worker])
        assert predict(server).status_code == 200


def test_a_worker_that_is_stopped_is_replaced_after_the_heartbeat_timeout(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", heartbeat_timeout="3") as server:
        (worker,) = server.workers()
        with RawConnection(server) as held:
            assert held.exchange(LIVE).startswith(b"HTTP/1.1 200")
            os.kill(worker, signal.SIGSTOP)
            wait_until(lambda: worker not in server.workers())
            assert held.response() == b""
        assert predict(server).status_code == 200


def test_a_worker_that_alone_gets_sigterm_is_replaced_and_the_service_stays_ready(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", workers="2", drain_delay="3600") as server:
        server.wait_for_workers(2)
        worker = server.workers()[0]
        os.kill(worker, signal.SIGTERM)
        wait_until(lambda: worker not in server.workers())
        assert {readiness(server) for _ in range(10)} == {200}
        server.process.send_signal(signal.SIGINT)  # which does not wait for the drain delay
        assert server.process.wait(DEADLINE) == 0


def test_workers_whose_parent_is_killed_during_the_drain_delay_end(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", drain_delay="3600") as server:
        (worker,) = server.workers()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: readiness(server) == 503)
        server.process.kill()
        wait_until(lambda: not Path(f"/proc/{worker}").exists())
