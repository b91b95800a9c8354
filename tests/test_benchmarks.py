"""Checks of the benchmarks' arguments, before anything starts; `test_other_servers.py` runs the load test itself."""

import sys

import pytest

from benchmarks.__main__ import main
from benchmarks.ablation import CANDIDATES

COMMANDS = ("train", "uploads", "confidence", "preprocessing", "observability", "serve")


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
        (("serve", "--bars", "/nowhere/bars.png"), "no folder /nowhere"),
        (("preprocessing", "--rounds", "-1"), "--rounds"),
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


def test_the_ablation_overrides_constants_that_exist() -> None:
    assert [name for module, name, _ in CANDIDATES if not isinstance(getattr(module, name, None), float)] == []
