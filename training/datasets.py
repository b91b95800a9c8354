"""The data sets: training data at once, held-out data only when it is asked for.

Inputs are as a client sends them (pixels 0..255, centimetres); whatever scales them is in the network.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from torch import Tensor
from torchvision import datasets as torchvision_datasets

from service.bundle import Feature
from training.errors import DataUnavailable


@dataclass(frozen=True)
class Split:
    """Inputs (UINT8 [n, 28, 28] or FP32 [n, features]) and the class of each (INT64 [n])."""

    inputs: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "Split":
        """The same on another device."""
        return Split(self.inputs.to(device), self.targets.to(device))


def checksum(*splits: Split) -> str:
    """SHA-256 of the inputs and the targets of each."""
    hashed = hashlib.sha256()
    for split in splits:
        hashed.update(split.inputs.numpy().tobytes())
        hashed.update(split.targets.numpy().tobytes())
    return "sha256:" + hashed.hexdigest()


class Dataset(Protocol):
    """Labelled data in two parts that never meet."""

    name: ClassVar[str]
    source: ClassVar[str]
    licence: ClassVar[str]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, by their index."""

    def train(self, seed: int) -> Split:
        """What the network learns from."""

    def held_out(self, seed: int) -> Split:
        """What it is judged on, opened only when this is called."""

    def features(self, train: Split) -> tuple[Feature, ...]:
        """The columns with their range in the training data; none for images."""


class Mnist:
    """Handwritten digits, 28x28: 60,000 to train on and 10,000 held out. The seed changes nothing."""

    name: ClassVar = "mnist"
    source: ClassVar = (
        "MNIST, LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/, by torchvision.datasets.MNIST"
    )
    licence: ClassVar = "CC BY-SA 3.0"
    labels = tuple("0123456789")
    MD5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._folder = data_dir / "MNIST" / "raw"

    def train(self, seed: int) -> Split:
        """60,000 images."""
        return self._read("train", train=True)

    def held_out(self, seed: int) -> Split:
        """10,000 images."""
        return self._read("t10k", train=False)

    def features(self, train: Split) -> tuple[Feature, ...]:
        """None: images have no named columns."""
        return ()

    def _read(self, prefix: str, *, train: bool) -> Split:
        try:
            images = torchvision_datasets.MNIST(str(self._data_dir), train=train, download=True)
        except (OSError, RuntimeError) as error:
            why = " ".join(str(error).split())
            raise DataUnavailable(
                f"MNIST is not in {self._folder.absolute()} and cannot be downloaded ({why}). Put its four files "
                f"there, uncompressed: {', '.join(self.MD5)}; or point --data-dir (DIGITALIS_DATA_DIR) at the folder "
                "that holds MNIST/raw/"
            ) from error
        for name in filter(lambda name: name.startswith(prefix), self.MD5):
            found = hashlib.md5((self._folder / name).read_bytes(), usedforsecurity=False).hexdigest()
            if found != self.MD5[name]:
                raise DataUnavailable(f"{self._folder / name} is damaged: MD5 {found}, expected {self.MD5[name]}")
        return Split(images.data, images.targets)


class Iris:
    """Fisher's 150 irises, in centimetres: 105 to train on, 45 held out, stratified, drawn by the seed."""

    name: ClassVar = "iris"
    source: ClassVar = (
        "Iris, R. A. Fisher, The use of multiple measurements in taxonomic problems (1936), by scikit-learn"
    )
    licence: ClassVar = "CC BY 4.0"

    def __init__(self) -> None:
        flowers = load_iris()
        self.labels = tuple(str(name) for name in flowers.target_names)
        self._names = [str(name) for name in flowers.feature_names]
        self._inputs = flowers.data.astype(np.float32)
        self._targets = flowers.target.astype(np.int64)

    def train(self, seed: int) -> Split:
        """105 flowers, 35 of each kind."""
        return self._split(seed)[0]

    def held_out(self, seed: int) -> Split:
        """45 flowers, 15 of each kind."""
        return self._split(seed)[1]

    def features(self, train: Split) -> tuple[Feature, ...]:
        """The four measures with their range among the flowers trained on."""
        low, high = train.inputs.amin(dim=0).tolist(), train.inputs.amax(dim=0).tolist()
        rounded = ((round(a, 6), round(b, 6)) for a, b in zip(low, high, strict=True))
        return tuple(Feature(name, a, b) for name, (a, b) in zip(self._names, rounded, strict=True))

    def _split(self, seed: int) -> tuple[Split, Split]:
        parts = train_test_split(self._inputs, self._targets, test_size=0.3, stratify=self._targets, random_state=seed)
        x_train, x_held_out, y_train, y_held_out = (torch.from_numpy(part) for part in parts)
        return Split(x_train, y_train), Split(x_held_out, y_held_out)


def open_dataset(name: str, data_dir: Path) -> Dataset:
    """The data set of this name. MNIST lies, or is downloaded to, `data_dir`; Iris comes with scikit-learn."""
    return Mnist(data_dir) if name == Mnist.name else Iris()
