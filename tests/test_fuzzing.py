"""The fuzz targets: their kept inputs in this process, and a minute of coverage-guided fuzzing of each."""

import importlib
import os
import re
import subprocess
import sys

import pytest
from fuzz import CORPUS, TARGETS
from running_service import ROOT

SECONDS = 60


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_passes_for_every_input_that_is_kept(target: str) -> None:
    run = importlib.import_module(f"fuzz.targets.{target}").run
    files = sorted((CORPUS / target).iterdir())
    assert files
    for file in files:
        try:
            run(file.read_bytes())
        except Exception as error:
            error.add_note(f"the input: {file}")
            raise


def test_every_folder_of_the_corpus_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} == set(TARGETS)


@pytest.mark.slow
def test_fuzzing_finds_no_input_that_fails() -> None:
    """As many targets at a time as there are cores; the output says which input failed, and where it is."""
    pytest.importorskip("atheris", reason="atheris has no wheel for this machine")
    environment = os.environ | {"PYTHONPATH": "tests"}
    completed = subprocess.run(
        (sys.executable, "-m", "fuzz", "--seconds", str(SECONDS)),
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert set(re.findall(r"(\w+): [1-9]\d* edges covered", completed.stdout)) == set(TARGETS)
