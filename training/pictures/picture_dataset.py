"""The images of a folder of pictures as a data set, made by the code that makes them of uploads."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from service.bundle.manifest import Column
from service.errors import RequestError, UnprocessableInput
from service.images.decoding import open_image
from service.images.limits import PixelBudget
from service.images.network_input import read_digit, read_picture
from training.datasets.dataset import Split
from training.datasets.stratified import StratifiedSplit
from training.errors import DataUnavailable
from training.normaliser import segmenter
from training.pictures.folder import picture_files
from training.recipes.pictures import Pictures
from training.recipes.recipe import Recipe

MAX_PIXELS = 64_000_000  # of a picture, as the service by default
SHOWN = 3  # files in a message


class PictureDataset:
    """`inputs` UINT8 [n, side, side] or [n, side, side, 3]; `targets` INT64 [n].

    Raises `DataUnavailable` with the names of pictures that cannot be read.
    """

    def __init__(self, recipe: Recipe, pictures: Pictures) -> None:
        self.name = recipe.dataset
        self.source = pictures.source or f"{Path(pictures.path).name}, pictures of the user's"
        self.licence = pictures.licence
        self.labels = pictures.labels
        files, _ = picture_files(Path(pictures.path), pictures.labels)
        self._images = read_images([file for _, file in files], pictures)
        self._targets = np.array([label for label, _ in files], np.int64)
        self._split = StratifiedSplit(
            len(files), self._targets, pictures.held_out, recipe.validation_rows, pictures.path
        )

    def train(self, seed: int) -> Split:
        """The training data, with the validation rows at its end."""
        return self._rows(self._split.train(seed))

    def held_out(self, seed: int) -> Split:
        """The held-out pictures."""
        return self._rows(self._split.held_out(seed))

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        """Empty: images have no named columns."""
        return ()

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        """Empty: they are of classes."""
        return ()

    def _rows(self, rows: NDArray[np.int64]) -> Split:
        return Split(torch.from_numpy(self._images[rows]), torch.from_numpy(self._targets[rows]))


def read_images(files: list[Path], pictures: Pictures) -> NDArray[np.uint8]:
    """The image of each file: UINT8 [n, side, side] or [n, side, side, 3]; raises `DataUnavailable`."""
    images: list[NDArray[np.uint8]] = []
    wrong: list[str] = []
    for file in files:
        try:
            images.append(_read(file, pictures))
        except UnprocessableInput as error:
            wrong.append(f"{file}: {error}")
        except (RequestError, OSError) as error:
            wrong.append(f"{file}: it cannot be read: {error}")
    if wrong:
        more = f"\n... and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
        listed = "\n".join(wrong[:SHOWN])
        raise DataUnavailable(
            f"{len(wrong):,} of {len(files):,} pictures cannot be used; correct or remove them:\n{listed}{more}"
        )
    return np.stack(images)


def _read(file: Path, pictures: Pictures) -> NDArray[np.uint8]:
    encoded = open_image(file.read_bytes(), PixelBudget(MAX_PIXELS))
    if pictures.preprocess.method == "digit":
        return read_digit(encoded, segmenter()).image
    return read_picture(encoded, pictures.preprocess, pictures.shape).image
