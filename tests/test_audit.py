"""`make audit`: when it fails, and when it says that nothing could be audited."""

import json
import runpy
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from running_service import ROOT

KNOWN = [{"name": "flask", "version": "3.1.3", "vulns": []}]
UNKNOWN = [{"name": "flask", "skip_reason": "Dependency not found on PyPI"}]
FOUND = "Found 1 known vulnerability\n"


class Case(NamedTuple):
    """What pip-audit says of the packages, and its exit status with --strict; what is printed, and the outcome."""

    listing: str
    strict: int
    words: str
    is_safe: bool


CASES = {
    "nothing found": Case(json.dumps({"dependencies": KNOWN}), 0, "1 packages: exit status 0", is_safe=True),
    "a vulnerability": Case(json.dumps({"dependencies": KNOWN}), 1, FOUND, is_safe=False),
    "one package unknown": Case(json.dumps({"dependencies": [*KNOWN, *UNKNOWN]}), 1, "exit status 1", is_safe=False),
    "a mirror without advisories": Case(json.dumps({"dependencies": UNKNOWN}), 1, "NOT AUDITED: cpu.txt", is_safe=True),
    "no network": Case("", 1, "NOT AUDITED: cpu.txt: no source of advisories (pypi, osv) answers", is_safe=True),
}


@pytest.fixture
def audit() -> dict[str, Any]:
    """The program's names; changing one changes what the program finds under it."""
    functions = runpy.run_path(str(ROOT / "deploy/audit"))
    namespace: dict[str, Any] = functions["main"].__globals__
    return namespace


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_only_packages_that_were_audited_can_fail(
    audit: dict[str, Any], capsys: pytest.CaptureFixture[str], case: Case
) -> None:
    def pip_audit(_lock: Path, _source: str, *options: str) -> subprocess.CompletedProcess[str]:
        if "--strict" in options:
            return subprocess.CompletedProcess((), case.strict, "", FOUND)
        return subprocess.CompletedProcess((), 1, case.listing, "")

    audit["pip_audit"] = pip_audit
    assert audit["packages_are_safe"](Path("cpu.txt")) is case.is_safe
    assert case.words in capsys.readouterr().out


def test_every_lock_is_audited(audit: dict[str, Any]) -> None:
    without = {"audit", "test-gpu"}  # its own tools; and what `cuda` and `test` have together
    assert {path.stem for path in (ROOT / "deploy/locks").glob("*.txt")} == {*audit["LOCKS"]} | without
