"""Handwritten digits of several countries as one data set: MNIST's, Swiss and Turkish ones, and drawings."""

import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from service.bundle.manifest import Column
from service.images.normaliser.mnist_geometry import fit_mnist_geometry
from service.images.normaliser.segmentation import Grey, box_of
from training.datasets.dataset import Split, concatenate
from training.datasets.hands import DATASETS, Handwriting
from training.datasets.mnist import Mnist

MNIST_VALIDATION = 5000  # MNIST's last training images
VALIDATION_ROWS = 6049  # those, and the digits of the last writer of each of the others
REPEATS = 2  # of each digit that is not MNIST's: there are four times as many of those
CROSSED_ZEROS = 3000  # zeros of MNIST's with a stroke through them, as many engineers write them
MARGIN = 12  # pixels around a zero, so that the stroke may be longer
INKED = 60  # of 255: what belongs to the box of the ink
OVERSAMPLING = 4  # pixels that a stroke is drawn with for one of the image


class Digits:
    """Images UINT8 [n, 28, 28] of MNIST, `numbers`, `pendigits` and `hwd1000`; writers of held-out rows are others.

    The last `VALIDATION_ROWS` training rows are MNIST's last 5,000 and all of the last writer of each of the others, of
    whom there is nothing among the rows before. The seed has no effect. Raises what the four data sets raise.
    """

    name = "digits"
    source = "; ".join([Mnist.source, *(dataset.source for dataset in DATASETS.values())])
    licence = "; ".join(
        [f"mnist: {Mnist.licence}", *(f"{name}: {dataset.licence}" for name, dataset in DATASETS.items())]
    )
    labels: ClassVar[tuple[str, ...]] = tuple("0123456789")

    def __init__(self, data_dir: Path) -> None:
        self._mnist = Mnist(data_dir)
        self._hands = [dataset(data_dir) for dataset in DATASETS.values()]

    def train(self, seed: int) -> Split:
        """The training data, with the validation rows at its end."""
        mnist = self._mnist.train(seed)
        parts = [_rows(mnist, slice(None, -MNIST_VALIDATION))]
        validation = [_rows(mnist, slice(-MNIST_VALIDATION, None))]
        parts.append(crossed_zeros(parts[0], CROSSED_ZEROS))
        for dataset in self._hands:
            rows = dataset.training_rows()
            is_last = rows.writers == rows.writers[-1]
            parts += [_chosen(rows, ~is_last)] * REPEATS
            validation.append(_chosen(rows, is_last))
        return concatenate([*parts, *validation])

    def held_out(self, seed: int) -> Split:
        """MNIST's test images, and those of the other data sets' held-out writers."""
        return concatenate([self._mnist.held_out(seed), *(dataset.held_out(seed) for dataset in self._hands)])

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        """Empty: images have no named columns."""
        return ()

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        """Empty: digits are classes."""
        return ()


def _rows(split: Split, rows: slice) -> Split:
    return Split(split.inputs[rows], split.targets[rows])


def _chosen(rows: Handwriting, chosen: Tensor) -> Split:
    return Split(rows.images[chosen], rows.labels[chosen])


def crossed_zeros(split: Split, count: int) -> Split:
    """The first zeros, each with a stroke through it, upright or to above on the right, which may reach beyond it."""
    zeros = split.inputs[split.targets == 0][:count]
    random = np.random.default_rng(0)
    images = torch.from_numpy(np.stack([_crossed(image.numpy(), random) for image in zeros]))
    return Split(images, torch.zeros(len(images), dtype=torch.int64))


def _crossed(image: Grey, random: np.random.Generator) -> Grey:
    box = box_of(image > INKED)
    field = np.pad(image, MARGIN)
    length = math.hypot(box[2], box[3]) / 2 * random.uniform(0.6, 1.35)
    angle = math.radians(random.uniform(35, 100))
    x, y = (MARGIN + box[i] + box[i + 2] / 2 + random.normal(0, 0.5) for i in (0, 1))
    across, up = math.cos(angle) * length, math.sin(angle) * length
    canvas = Image.new("L", (field.shape[1] * OVERSAMPLING, field.shape[0] * OVERSAMPLING))
    ends = [at * OVERSAMPLING for at in (x - across, y + up, x + across, y - up)]
    ImageDraw.Draw(canvas).line(ends, fill=255, width=round(random.uniform(1.8, 3) * OVERSAMPLING))
    crossed: Grey = np.maximum(field, np.asarray(canvas.reduce(OVERSAMPLING)))
    left, top, width, height = box_of(crossed > INKED)
    return fit_mnist_geometry(crossed[top : top + height, left : left + width])
