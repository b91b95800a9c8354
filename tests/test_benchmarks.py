"""What a benchmark refuses before it starts anything. That they run is in `test_other_servers.py`."""

import sys

import pytest

from benchmarks.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--rounds", "0"), "--rounds: '0': a whole number from 1 on"),
        (("serve", "--seconds", "0"), "--seconds: '0': a number over 0"),
        (("serve", "--seconds", "nan"), "--seconds: 'nan': a number over 0"),
        (("serve", "--peers", "triton"), "--peers: no triton; there are fastapi, fastapi-tuned, granian"),
        (("serve", "--bars", "/nowhere/bars.png"), "no folder /nowhere"),
        (("reading", "--rounds", "-1"), "--rounds"),
    ],
)
def test_a_benchmark_says_what_is_wrong_with_its_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
