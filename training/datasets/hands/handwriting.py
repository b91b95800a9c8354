"""Digits with their writers, and what the data sets of this package have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from service.bundle.manifest import Column
from service.errors import one_line
from service.images.normaliser.segmentation import Grey
from training.datasets.dataset import Split
from training.datasets.hands.files import DOWNLOAD_ERRORS, download
from training.errors import DataUnavailable


@dataclass(frozen=True)
class Handwriting:
    """Images UINT8 [n, 28, 28], 0 = paper, 255 = ink; labels INT64 [n], 0 to 9; writers INT64 [n].

    Rows are in the order of their writers, so that the last ones can be set apart with all that their writers wrote.
    """

    images: Tensor
    labels: Tensor
    writers: Tensor

    @classmethod
    def of(cls, rows: Iterable[tuple[Grey, int, int]]) -> "Handwriting":
        """From an image, a label and a writer for each row; rows of one writer stay in their order."""
        images, labels, writers = zip(*sorted(rows, key=lambda row: row[2]), strict=True)
        return cls(torch.from_numpy(np.stack(images)), torch.tensor(labels), torch.tensor(writers))

    def split(self) -> Split:
        """The rows without their writers."""
        return Split(self.images, self.labels)


class HandwritingDataset(ABC):
    """Handwritten digits UINT8 [n, 28, 28] in MNIST's geometry, read from `hands/<name>/` of the data folder.

    Writers of held-out rows wrote no training rows. The seed has no effect. The methods that read download the files
    if they are missing. They raise `DataUnavailable` if that fails, or if the SHA-256 of what they read is wrong.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    licence: ClassVar[str]
    labels: ClassVar[tuple[str, ...]] = tuple("0123456789")
    url: ClassVar[str]
    """A ZIP archive of the publisher's files."""
    root: ClassVar[str] = ""
    """What the paths of its files begin with."""
    entries: ClassVar[tuple[str, ...]]
    """Files and folders of the archive that are needed."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "hands" / self.name

    @abstractmethod
    def training_rows(self) -> Handwriting:
        """The training data with its writers."""

    @abstractmethod
    def held_out_rows(self) -> Handwriting:
        """The held-out data with its writers; its files are opened only by this."""

    def train(self, seed: int) -> Split:
        """The training data, in the order of its writers."""
        return self.training_rows().split()

    def held_out(self, seed: int) -> Split:
        """The held-out data, by other writers."""
        return self.held_out_rows().split()

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        """Empty: images have no named columns."""
        return ()

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        """Empty: digits are classes."""
        return ()

    def _available_folder(self) -> Path:
        """The folder with all entries; those that are missing are downloaded."""
        missing = [entry for entry in self.entries if not (self._folder / entry).exists()]
        if missing:
            try:
                download(self.url, self.root, missing, self._folder)
            except DOWNLOAD_ERRORS as error:
                reason = one_line(error)
                raise DataUnavailable(
                    f"{', '.join(missing)}: not in {self._folder.absolute()}, and cannot be downloaded from {self.url} "
                    f"({reason}). Put them there as in that archive, uncompressed; or point --data-dir "
                    f"(DIGITALIS_DATA_DIR) at the folder that holds hands/{self.name}/"
                ) from error
        return self._folder
