"""MNIST, with the MD5 of each of its files."""

import hashlib
from pathlib import Path
from typing import ClassVar

from torchvision import datasets as torchvision_datasets

from service.bundle.manifest import Column
from service.errors import one_line
from training.datasets.dataset import Split
from training.errors import DataUnavailable


class Mnist:
    """Handwritten digits, UINT8 [n, 28, 28]: 60,000 for training and 10,000 held out. The seed has no effect.

    `train` and `held_out` download the files if they are missing. They raise `DataUnavailable` if that fails, or if the
    MD5 of a file is wrong.
    """

    name = "mnist"
    source = "MNIST, LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/, by torchvision.datasets.MNIST"
    licence = "CC BY-SA 3.0"
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

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        """Empty: images have no named columns."""
        return ()

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        """Empty: digits are classes."""
        return ()

    def _read(self, prefix: str, *, train: bool) -> Split:
        try:
            images = torchvision_datasets.MNIST(str(self._data_dir), train=train, download=True)
        except (OSError, RuntimeError) as error:
            reason = one_line(error)
            raise DataUnavailable(
                f"MNIST is not in {self._folder.absolute()} and cannot be downloaded ({reason}). Put its four files "
                f"there, uncompressed: {', '.join(self.MD5)}; or point --data-dir (DIGITALIS_DATA_DIR) at the folder "
                "that holds MNIST/raw/"
            ) from error
        for name in filter(lambda name: name.startswith(prefix), self.MD5):
            found = hashlib.md5((self._folder / name).read_bytes(), usedforsecurity=False).hexdigest()
            if found != self.MD5[name]:
                raise DataUnavailable(f"{self._folder / name} is damaged: MD5 {found}, expected {self.MD5[name]}")
        return Split(images.data, images.targets)
