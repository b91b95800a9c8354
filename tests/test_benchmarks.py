"""Checks of the benchmarks' arguments, before anything starts; `test_other_servers.py` runs the load test itself."""

import sys
from pathlib import Path

import pytest

from benchmarks import observability_overhead
from benchmarks.__main__ import main
from benchmarks.leave_one_source_out import CANDIDATES
from service.errors import BundleError

COMMANDS = (
    "train",
    "uploads",
    "confidence",
    "preprocessing",
    "memory",
    "observability",
    "batching",
    "scoring",
    "gpu",
    "serve",
    "overload",
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serve", "--rounds", "0"), "--rounds: '0': expected a whole number of at least 1"),
        (("serve", "--seconds", "0"), "--seconds: '0': expected a number greater than 0"),
        (("serve", "--seconds", "nan"), "--seconds: 'nan': expected a number greater than 0"),
        (
            ("serve", "--peers", "triton"),
            "--peers: unknown triton; choose from fastapi, fastapi-tuned, granian",
        ),
        (("serve", "--uploads", "--peers", "granian"), "granian: no workload in common; --uploads is for pillow and"),
        (("serve", "--peers", "pillow"), "pillow: no workload in common"),
        (("serve", "--bars", "/nowhere/bars.png"), "no folder /nowhere"),
        (("preprocessing", "--rounds", "-1"), "--rounds"),
        (("train", "--steps", "5000"), "--steps: '5000': expected at most 4999, the mini-batches of one epoch"),
    ],
)
def test_invalid_arguments_are_rejected_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None)
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", command, "--help"])
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 0
    assert f"examples:\n  python -m benchmarks {command}" in capsys.readouterr().out


def test_a_file_that_is_missing_is_reported_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "uploads", str(tmp_path)])
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None)
    assert main() == 1
    assert "labels.csv" in capsys.readouterr().err


def test_without_a_gpu_its_benchmark_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "gpu"])
    monkeypatch.setattr("benchmarks.gpu.command.free_gpu_memory", lambda _gpu: None)
    assert main() == 1
    assert "benchmarks: there is no NVIDIA GPU here" in capsys.readouterr().err


def test_the_observability_benchmark_takes_the_highest_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for version in ("9", "10"):
        (tmp_path / "iris" / version).mkdir(parents=True)
    monkeypatch.setattr(observability_overhead, "MODELS", tmp_path)
    with pytest.raises(BundleError, match="iris/10"):
        observability_overhead.measure(1)


def test_leaving_one_source_out_overrides_constants_that_exist() -> None:
    assert [name for module, name, _ in CANDIDATES if not isinstance(getattr(module, name, None), (int, float))] == []
