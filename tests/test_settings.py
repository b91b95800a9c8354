"""Settings from the environment, and the error message for an invalid one."""

import dataclasses
import os
from pathlib import Path

import pytest
from running_service import failed_start

from service import settings as module
from service.errors import SettingsError
from service.settings import Settings, available_cores


def test_by_default_workers_times_threads_stay_within_the_cores() -> None:
    settings = Settings.from_env({})
    assert settings.bind == "127.0.0.1:8000"
    assert settings.workers == available_cores()
    assert settings.workers * settings.threads_per_inference <= available_cores()


@pytest.mark.parametrize("workers", [1, 2, 3, 64])
def test_by_default_the_cores_are_divided_among_the_workers(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: 8)
    settings = Settings(workers=workers)
    assert settings.threads_per_inference == max(8 // workers, 1)


def test_more_threads_than_cores_can_be_set() -> None:
    assert Settings.from_env({"DIGITALIS_INTRA_OP_THREADS": "99"}).threads_per_inference == 99


def test_every_setting_can_be_set() -> None:
    texts = {
        "bind": "0.0.0.0:80",
        "models_dir": "/srv/models",
        "data_dir": "/srv/data",
        "runtime": "torchscript",
        "device": "cuda:1",
        "log_level": "debug",
        "abstain": "true",
        "log_requests": "all",
        "memory_budget_bytes": "700000000",
        "gpu_memory_share": "0.25",
    }
    assert Settings.from_env({"DIGITALIS_CUDA_FROM_ROWS": "a=never, b/2=16"}).cuda_from_rows == {"a": None, "b/2": 16}
    assert Settings.from_env({"DIGITALIS_BATCHING": "a=32:2ms,b=8:0ms"}).batching == {"a": (32, 0.002), "b": (8, 0)}
    for field in dataclasses.fields(Settings):
        if field.name in ("cuda_from_rows", "batching"):
            continue
        text = texts.get(field.name, "7")
        value = getattr(Settings.from_env({f"DIGITALIS_{field.name.upper()}": text}), field.name)
        assert str(value).lower() == text.lower()
        assert value != getattr(Settings.from_env({}), field.name)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("DIGITALIS_WORKERS", "two", "an integer from 1 up"),
        ("DIGITALIS_WORKERS", "0", "an integer from 1 up"),
        ("DIGITALIS_WORKERS", "", "an integer from 1 up"),
        ("DIGITALIS_HEARTBEAT_TIMEOUT", "2", "an integer from 3 up, as workers report once a second"),
        ("DIGITALIS_DRAIN_DELAY", "-1", "an integer from 0 to 9999"),
        ("DIGITALIS_DRAIN_DELAY", "1.5", "an integer from 0 to 9999"),
        ("DIGITALIS_ABSTAIN", "yes", "true or false"),
        ("DIGITALIS_BIND", "8000", "host:port"),
        ("DIGITALIS_BIND", "localhost:99999", "host:port"),
        ("DIGITALIS_DEVICE", "gpu", "auto, cpu, cuda, or cuda:N"),
        ("DIGITALIS_CUDA_FROM_ROWS", "mnist=0", "such as mnist=16,iris=never"),
        ("DIGITALIS_CUDA_FROM_ROWS", "mnist", "such as mnist=16,iris=never"),
        ("DIGITALIS_BATCHING", "wide=32", "name=rows:delay, such as wide=32:2ms, with 2 to 256 rows"),
        ("DIGITALIS_BATCHING", "wide=1:2ms", "with 2 to 256 rows"),
        ("DIGITALIS_BATCHING", "wide=257:2ms", "with 2 to 256 rows"),
        ("DIGITALIS_GPU_MEMORY_SHARE", "0", "a number over 0 and up to 1"),
        ("DIGITALIS_GPU_MEMORY_SHARE", "1.5", "a number over 0 and up to 1"),
        ("DIGITALIS_RUNTIME", "tensorflow", "one of onnx, torchscript"),
        ("DIGITALIS_MODELS_DIR", "", "a folder"),
        ("DIGITALIS_WORKER", "2", "did you mean DIGITALIS_WORKERS?"),
        ("DIGITALIS_QQ", "2", "the settings are DIGITALIS_BIND"),
    ],
)
def test_an_invalid_setting_is_an_error_that_names_it_and_what_is_expected(name: str, value: str, hint: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_env({name: value})
    assert name in str(error.value)
    assert hint in str(error.value)


def test_the_largest_body_must_fit_into_the_memory_budget() -> None:
    """Otherwise it would get 503 for ever. The message says how large the budget must be at least."""
    with pytest.raises(SettingsError, match="set that to 533333334 or more"):
        Settings.from_env({"DIGITALIS_MAX_BODY_BYTES": "200000000"})
    found = Settings.from_env({"DIGITALIS_MAX_BODY_BYTES": "200000000", "DIGITALIS_MEMORY_BUDGET_BYTES": "533333334"})
    assert found.max_body_bytes == 200_000_000


def test_an_invalid_setting_stops_the_start_with_one_line() -> None:
    failed = failed_start(worker="2")
    assert failed.returncode == 2
    assert failed.stderr == "digitalis: DIGITALIS_WORKER is not a setting: did you mean DIGITALIS_WORKERS?\n"


def test_variables_that_kubernetes_injects_for_a_service_are_ignored() -> None:
    injected = {
        "DIGITALIS_SERVICE_HOST": "10.0.0.1",
        "DIGITALIS_SERVICE_PORT": "80",
        "DIGITALIS_SERVICE_PORT_HTTP": "80",
        "DIGITALIS_PORT": "tcp://10.0.0.1:80",
        "DIGITALIS_PORT_80_TCP": "tcp://10.0.0.1:80",
        "DIGITALIS_PORT_80_TCP_ADDR": "10.0.0.1",
        "DIGITALIS_CANARY_SERVICE_HOST": "10.0.0.2",
        "DIGITALIS_CANARY_PORT": "tcp://10.0.0.2:80",
        "DIGITALIS_CANARY_PORT_80_TCP_PROTO": "tcp",
    }
    assert Settings.from_env(injected) == Settings.from_env({})


@pytest.mark.parametrize(
    "name", ["DIGITALIS_PORT", "DIGITALIS_HTTP_PORT", "DIGITALIS_BIND_PORT", "DIGITALIS_PORT_NUMBER"]
)
def test_a_port_that_kubernetes_has_not_injected_is_an_error(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not a setting: "):
        Settings.from_env({name: "8001"})


def test_no_setting_has_a_name_that_kubernetes_injects() -> None:
    for name, _, _ in Settings.documentation_rows():
        assert not module.KUBERNETES.fullmatch(name)
        assert not module.KUBERNETES_URL.fullmatch(name)


def test_the_cpu_quota_of_a_container_limits_the_available_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(module, "Path", lambda _path: quota)
    for text, cores in (("250000 100000", 2), ("50000 100000", 1), ("max 100000", 16)):
        quota.write_text(text)
        assert available_cores() == cores
