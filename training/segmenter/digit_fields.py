"""The digits that are drawn into the pictures, and others for the pictures of the evaluation."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from service.bundle.manifest import DataSource
from training.datasets import open_dataset
from training.datasets.dataset import Dataset, Split, checksum, concatenate
from training.progress import Progress
from training.segmenter.distance_fields import DistanceFields, distance_fields
from training.segmenter.recipe import SegmenterRecipe

HELD_OUT = 1000  # of each data set
ONE_STROKE_IN = 25  # digits is a straight stroke besides


@dataclass(frozen=True)
class DigitFields:
    """Digits to train on and others to evaluate on, and where they come from."""

    train: DistanceFields
    held_out: DistanceFields
    source: DataSource


def load_digits(recipe: SegmenterRecipe, data_dir: Path, progress: Progress) -> DigitFields:
    """Read the data sets of a recipe, and measure their digits; raises `DataUnavailable`."""
    datasets = [open_dataset(name, data_dir) for name in recipe.datasets]
    train = concatenate([_head(dataset.train(0), recipe.digits_of_each) for dataset in datasets])
    held_out = concatenate([_head(split, HELD_OUT) for split in _held_out(datasets)])
    source = DataSource(
        name=", ".join(recipe.datasets),
        source="; ".join(dataset.source for dataset in datasets),
        licence="; ".join(f"{dataset.name}: {dataset.licence}" for dataset in datasets),
        checksum=checksum(train, held_out),
        train_rows=len(train.targets),
        held_out_rows=len(held_out.targets),
    )
    fields = [distance_fields(_with_strokes(split.inputs), progress) for split in (train, held_out)]
    return DigitFields(fields[0], fields[1], source)


def _head(split: Split, rows: int) -> Split:
    return Split(split.inputs[:rows], split.targets[:rows])


def _held_out(datasets: list[Dataset]) -> Iterator[Split]:
    return (split for dataset in datasets if (split := dataset.held_out(0)))


def straight_strokes(count: int) -> Tensor:
    """Ones as many people draw them on a screen, UINT8 [count, 28, 28]: a bar, which no writer of MNIST's drew."""
    widths = torch.arange(count) % 4 + 2
    x = torch.arange(28)
    bars = ((x >= 14 - (widths[:, None] + 1) // 2) & (x < 14 + widths[:, None] // 2))[:, None].repeat(1, 28, 1)
    bars[:, :4] = bars[:, 24:] = False
    return bars.to(torch.uint8) * 255


def _with_strokes(images: Tensor) -> Tensor:
    return torch.cat([images, straight_strokes(len(images) // ONE_STROKE_IN)])
