"""HwD-1000: drawings on a 28x28 canvas."""

import csv
from collections.abc import Iterator
from typing import ClassVar

from service.images.normaliser.segmentation import Grey
from training.datasets.hands.files import read_checked
from training.datasets.hands.handwriting import Handwriting, HandwritingDataset
from training.datasets.hands.ink import image_of_scan

COMMIT = "985b7a4b5081b64bb62bcf5a8cd3bce4cfd86dd1"
TABLE = "dataset.csv"


class Hwd1000(HandwritingDataset):
    """1,000 digits, drawn in black on white with pens of several widths: 800 for training, 200 held out.

    Writers are not named; there may be only one. Instead of writers there are five blocks of 20 successive files of
    each digit, of which the last is held out: `img/0-001.png` to `img/0-020.png` and so on are by "writer" 1.
    """

    name = "hwd1000"
    source = f"HwD-1000, N. Henning (2024), https://github.com/niklashenning/hwd-1000-dataset at {COMMIT}"
    licence = "MIT"
    url = f"https://github.com/niklashenning/hwd-1000-dataset/archive/{COMMIT}.zip"
    root = f"hwd-1000-dataset-{COMMIT}/"
    entries = (TABLE, "img")
    BLOCK = 20  # files of one digit
    HELD_OUT = 5  # the block
    SHA256: ClassVar[dict[str, str]] = {
        "dataset.csv": "bdd3bac7121e4d830276e75482189f87ca551de7cae174e881fccdead3ece25f",
        "training images": "b870b47ddf5dc36db4ec31a9ec4bd4cfa57491c79c33361fb338fb6ee0909914",
        "held-out images": "8d63baa88693c577c36caa7ea7fe458ec549327ab9c01e1534cc552eac0d77bc",
    }
    """Of the table, and of the images in its order: see `read_checked`."""

    def training_rows(self) -> Handwriting:
        """800 digits, blocks 1 to 4."""
        return Handwriting.of(self._rows(held_out=False))

    def held_out_rows(self) -> Handwriting:
        """200 digits, block 5."""
        return Handwriting.of(self._rows(held_out=True))

    def _rows(self, *, held_out: bool) -> Iterator[tuple[Grey, int, int]]:
        """Image, label and block of each file."""
        folder = self._available_folder()
        (table,) = read_checked(folder, [TABLE], self.SHA256[TABLE])
        labels = {row["image"]: int(row["label"]) for row in csv.DictReader(table.decode().splitlines())}
        paths = [path for path in labels if (self.block(path) == self.HELD_OUT) == held_out]
        files = read_checked(folder, paths, self.SHA256["held-out images" if held_out else "training images"])
        for path, file in zip(paths, files, strict=True):
            yield image_of_scan(file), labels[path], self.block(path)

    @classmethod
    def block(cls, path: str) -> int:
        """The block of `img/<digit>-<number>.png`; numbers are from 1."""
        return (int(path[-7:-4]) - 1) // cls.BLOCK + 1
