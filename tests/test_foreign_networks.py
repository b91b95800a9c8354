"""Networks of other libraries answer over HTTP what their own library answers.

They are made in an environment of its own, with the newest versions whose converters agree: deploy/locks/foreign.txt.
"""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from running_service import ROOT, RunningService, clean_environment
from test_command import DIGITALIS

PYTHON = ROOT / ".venv-foreign/bin/python"
FLOWERS = ["--features", "sepal length,sepal width,petal length,petal width"]
OPTIONS: dict[str, list[str]] = {
    "sklearn-mlp": FLOWERS,
    "sklearn-forest": FLOWERS,
    "sklearn-regression": ["--targets", "progression"],
    "xgboost": FLOWERS,
    "lightgbm": FLOWERS,
    "keras": [*FLOWERS, "--labels", "setosa,versicolor,virginica"],
    "pytorch-pictures": [],
    "magika": [],
}
RELATIVE = 1e-5

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="the libraries are not installed: `make test-slow` installs them"),
]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with NAME.onnx and NAME.npz of each network."""
    folder = tmp_path_factory.mktemp("networks")
    script = ROOT / "tests/foreign/make_networks.py"
    ended = subprocess.run([PYTHON, script, folder], capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def service(networks: Path) -> Iterator[RunningService]:
    """The service with all of them, each imported by the command."""
    for name, options in OPTIONS.items():
        arguments = [str(networks / f"{name}.onnx"), *options, "--models", str(networks / "models")]
        ended = subprocess.run(
            [DIGITALIS, "import", *arguments], env=clean_environment(), capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
    command = (DIGITALIS, "serve", "--bind", "{address}", "--models", str(networks / "models"))
    with RunningService(networks / "log", command) as running:
        yield running


def predictions(service: RunningService, name: str, rows: NDArray[Any]) -> NDArray[np.float64]:
    """What the service answers, as an array."""
    body = json.dumps({"instances": rows.tolist()}).encode()
    request = urllib.request.Request(
        f"{service.url}/v1/models/{name}:predict", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        found = json.load(response)["predictions"]
    if isinstance(found[0], list):
        return np.array(found)
    return np.array([list(one["values" if "values" in one else "probabilities"].values()) for one in found])


@pytest.mark.parametrize("name", list(OPTIONS))
def test_a_network_answers_what_its_own_library_answers(service: RunningService, networks: Path, name: str) -> None:
    with np.load(networks / f"{name}.npz") as made:
        rows, expected = made["x"], made["y"]
    found = predictions(service, name, rows)
    expected = expected.reshape(found.shape)
    difference = (np.abs(found - expected) / np.maximum(np.abs(expected), 1e-3)).max()
    size = (networks / f"{name}.onnx").stat().st_size
    print(f"{name}: {size:,} bytes, largest relative difference {difference:.1e}")
    assert difference < RELATIVE
