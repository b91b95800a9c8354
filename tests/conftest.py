"""Fixtures of several test modules: a running server for each runtime, and the MNIST data set."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from running_service import ROOT, RunningService

MODELS = ROOT / "models"
SAMPLES = ROOT / "samples"


def newest(model: str) -> Path:
    """The folder of the newest version of one of the project's own models."""
    return max((MODELS / model).iterdir(), key=lambda folder: int(folder.name))


IRIS = newest("iris")
IRIS_VERSION = IRIS.name


@pytest.fixture(scope="session", params=["onnx", "torchscript"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A running server of all models of the project, on the CPU; a test that uses it runs on both runtimes."""
    log = tmp_path_factory.mktemp("service") / f"{request.param}.log"
    with RunningService(log, runtime=request.param) as running:
        yield running


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder that holds MNIST/raw/; a test that needs it is skipped if there is none."""
    folder = Path(os.environ.get("DIGITALIS_DATA_DIR", ROOT / "data"))
    if not (folder / "MNIST/raw/t10k-images-idx3-ubyte").exists():
        pytest.skip("MNIST is not here: set DIGITALIS_DATA_DIR to the folder that holds MNIST/raw/")
    return folder.absolute()


@pytest.fixture(scope="session")
def mnist_test(mnist_dir: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """MNIST's 10,000 test images [10000, 28, 28] and labels [10000], read as the format's specification says."""
    raw = mnist_dir / "MNIST/raw"
    images = np.frombuffer((raw / "t10k-images-idx3-ubyte").read_bytes(), np.uint8, offset=16).reshape(-1, 28, 28)
    labels = np.frombuffer((raw / "t10k-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    return images, labels


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a browser; without one, the test is skipped."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no browser is installed: install chromium")
    return path
