"""Pen-Based Recognition of Handwritten Digits: the strokes of a pen on a tablet, drawn as images."""

import itertools
import re
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.images.normaliser.mnist_geometry import BOX, fit_mnist_geometry
from service.images.normaliser.segmentation import Grey
from training.datasets.hands.files import read_checked
from training.datasets.hands.handwriting import Handwriting, HandwritingDataset

Stroke = NDArray[np.float64]
"""[points, 2]: x to the right and y up, from where the pen touches the tablet to where it leaves it; of 500."""

PEN = 2.4  # pixels of the 20x20 box: as much ink as in MNIST's images, and nearly the same mean width of strokes
OVERSAMPLING = 8  # pixels that are drawn for each pixel of the box, so that edges are smooth
LABEL_AND_WRITER = re.compile(r'"(\d)"\s+\.COMMENT\s+\d+\s+(\d+)')
PEN_DOWN = re.compile(r"\.PEN_DOWN\n([^.]*)\.PEN_UP")


class PenDigits(HandwritingDataset):
    """10,992 digits of Turkish writers, about 250 of each: 7,494 of thirty for training, 3,498 of another 14 held out.

    The files are UNIPEN text. Each digit's `.COMMENT` has three numbers: the digit, a number from 1 that occurs about
    250 times, so that it must be the writer, and the place in the writer's sequence. The writers of the second file are
    numbered from 1 too; here they are 31 to 44.
    """

    name = "pendigits"
    source = (
        "Pen-Based Recognition of Handwritten Digits, E. Alpaydin and F. Alimoglu (1996), UCI Machine Learning "
        "Repository, https://doi.org/10.24432/C5MG6K"
    )
    licence = "CC BY 4.0"
    url = "https://archive.ics.uci.edu/static/public/81/pen+based+recognition+of+handwritten+digits.zip"
    SHA256: ClassVar[dict[str, str]] = {
        "pendigits-orig.tra": "7210755d59b2706afc26355cf6313b057aec80b08022ba1d2fa9a90c4e06004c",
        "pendigits-orig.tes": "83e663056ac3a8c7a23065bc07e66bf06277befacb3d9ddbf3bcc3e5734c4efe",
    }
    """Of each file: see `read_checked`."""
    entries = tuple(SHA256)
    TRAINING_WRITERS = 30

    def training_rows(self) -> Handwriting:
        """7,494 digits of writers 1 to 30."""
        return Handwriting.of(self._rows("pendigits-orig.tra", 0))

    def held_out_rows(self) -> Handwriting:
        """3,498 digits of writers 31 to 44."""
        return Handwriting.of(self._rows("pendigits-orig.tes", self.TRAINING_WRITERS))

    def _rows(self, name: str, first_writer: int) -> Iterator[tuple[Grey, int, int]]:
        """Image, label and writer of each digit of a file."""
        (file,) = read_checked(self._available_folder(), [name], self.SHA256[name])
        for label, writer, strokes in parse_unipen(file.decode("ascii")):
            yield draw(strokes), label, first_writer + writer


def parse_unipen(text: str) -> Iterator[tuple[int, int, list[Stroke]]]:
    """The label, the writer and the strokes of each digit."""
    for segment in text.split(".SEGMENT")[1:]:
        ((label, writer),) = LABEL_AND_WRITER.findall(segment)
        strokes = [np.array(points.split(), np.float64).reshape(-1, 2) for points in PEN_DOWN.findall(segment)]
        yield int(label), int(writer), strokes


def draw(strokes: list[Stroke]) -> Grey:
    """Strokes of a round pen -> UINT8 [28, 28], 0 = paper, 255 = ink."""
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    pen = PEN * OVERSAMPLING
    scale = (BOX * OVERSAMPLING - pen) / max(1.0, *(high - low))
    width, height = ((high - low) * scale + pen + 1).astype(int).tolist()
    canvas = Image.new("L", (width, height))
    brush = ImageDraw.Draw(canvas)
    for stroke in strokes:
        path = np.stack([stroke[:, 0] - low[0], high[1] - stroke[:, 1]], axis=1) * scale + pen / 2
        for x, y in path.tolist():
            brush.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=255)
        for start, end in itertools.pairwise(path.tolist()):
            brush.line((*start, *end), fill=255, width=round(pen))
    return fit_mnist_geometry(np.asarray(canvas))
