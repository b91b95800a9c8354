"""How well digits that people upload are read: real ones in a folder, and those that `difficulties` lays on paper.

The folder holds `labels.csv` (path, label, source) and the files. Writers are few in each source, so what counts is
the accuracy per source and the mean over sources.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from benchmarks.baselines import inverted, naive, rough
from benchmarks.synthetic_corpus import PAPERS, corpus
from service.errors import UnusableInput
from service.images import normaliser as digits
from service.images.decoding import Budget, Picture, decode_image
from service.inference.repository import Model, ModelRepository
from service.settings import Settings
from training.datasets.mnist import Mnist

Grey = NDArray[np.uint8]
Normalise = Callable[[Grey], Grey]
Accuracy = dict[str, float]  # by source

METHODS: dict[str, Normalise] = {
    "resized": naive,
    "and inverted": inverted,
    "first": rough,
    "ink normaliser": digits.normalise,
}


@dataclass(frozen=True)
class Upload:
    """One digit of a corpus, decoded."""

    name: str
    source: str
    digit: int
    picture: Picture
    file: bytes


@dataclass(frozen=True)
class Reading:
    """What came of one digit: the picture that the network saw, or why there is none, and its answer."""

    upload: Upload
    seen: Grey | None
    refusal: str
    answer: int
    probability: float

    @property
    def right(self) -> bool:
        """Whether it was read as what it is."""
        return self.answer == self.upload.digit


def uploads(folder: Path) -> Iterator[Upload]:
    """The digits of a folder."""
    with (folder / "labels.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            file = (folder / row["path"]).read_bytes()
            yield Upload(row["path"], row["source"], int(row["label"]), decode_image(file, Budget(10**9)), file)


def papers(count: int, seed: int, data_dir: Path) -> Iterator[Upload]:
    """Digits on paper, made by code: `count` of each kind."""
    mnist = Mnist(data_dir).train(0)
    made = corpus(count, seed, (mnist.inputs.numpy(), mnist.targets.numpy()))
    for i, (name, digit, file) in enumerate(made):
        yield Upload(f"{name}/{i}", name, digit, decode_image(file, Budget(10**9)), file)


def opened(name: str) -> Model:
    """The newest bundle of this name, on the CPU."""
    settings = Settings(device="cpu", models_dir=Path(__file__).parent.parent / "models")
    return ModelRepository.open(settings, sorted((settings.models_dir / name).iterdir())).find(name)


def read(corpus: list[Upload], normalise: Normalise, model: Model) -> list[Reading]:
    """Normalise each picture, and let the network read them all."""
    seen: list[Grey | str] = []
    for upload in corpus:
        try:
            seen.append(normalise(upload.picture.grey))
        except UnusableInput as refusal:
            seen.append(str(refusal))
    images = np.stack([one if isinstance(one, np.ndarray) else np.zeros((28, 28), np.uint8) for one in seen])
    probabilities = model.predict({"image": images})["probabilities"]
    return [
        Reading(upload, None, one, -1, 0.0)
        if isinstance(one, str)
        else Reading(upload, one, "", int(row.argmax()), float(row.max()))
        for upload, one, row in zip(corpus, seen, probabilities, strict=True)
    ]


def by_source(readings: list[Reading]) -> Accuracy:
    """The share of each source that was read right; what is refused is not."""
    sources: dict[str, list[bool]] = {}
    for reading in readings:
        sources.setdefault(reading.upload.source, []).append(reading.right)
    return {source: sum(right) / len(right) for source, right in sources.items()}


def mean(accuracy: Accuracy) -> float:
    """Over sources, each counting once."""
    return sum(accuracy.values()) / len(accuracy)


def compare(corpus: list[Upload], model: Model) -> list[Reading]:
    """Print the table of every method, and what the last of them did not read; return its readings."""
    found = {name: read(corpus, normalise, model) for name, normalise in METHODS.items()}
    columns = {name: by_source(readings) for name, readings in found.items()}
    print(f"\n| source | images | {' | '.join(METHODS)} |\n|{' --- |' * (len(METHODS) + 2)}")
    for source in next(iter(columns.values())):
        count = sum(upload.source == source for upload in corpus)
        print(f"| {source} | {count} | {' | '.join(f'{column[source]:.4f}' for column in columns.values())} |")
    print(f"| mean over sources | {len(corpus)} | {' | '.join(f'{mean(column):.4f}' for column in columns.values())} |")
    readings = found["ink normaliser"]
    print(f"\nrefused: {sum(reading.seen is None for reading in readings)} of {len(readings)}")
    for reading in readings:
        if not reading.right:
            print(f"  {reading.upload.name}: {reading.refusal or f'{reading.answer} ({reading.probability:.2f})'}")
    return readings


def contact_sheet(readings: list[Reading], path: Path) -> None:
    """Every digit that was not read, beside what the network saw of it."""
    wrong = [reading for reading in readings if not reading.right]
    side, columns = 150, 6
    sheet = Image.new("RGB", (columns * 2 * side, max(1, math.ceil(len(wrong) / columns)) * (side + 14)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, reading in enumerate(wrong):
        left, top = i % columns * 2 * side, i // columns * (side + 14)
        said = "refused" if reading.seen is None else f"{reading.answer} ({reading.probability:.2f})"
        draw.text((left + 2, top + 1), f"{reading.upload.name}: {said}", fill="black")
        upload = ImageOps.exif_transpose(Image.open(io.BytesIO(reading.upload.file))).convert("RGBA")
        sheet.paste(ImageOps.contain(upload, (side - 4, side - 4), Image.Resampling.BOX), (left, top + 14))
        if reading.seen is not None:
            seen = Image.fromarray(reading.seen).resize((112, 112), Image.Resampling.NEAREST)
            sheet.paste(seen, (left + side, top + 14))
    sheet.save(path)


def measure(folder: Path | None, count: int, data_dir: Path, model_name: str, sheet: Path | None) -> None:
    """Print the table of a folder's uploads, and of `count` digits on each kind of paper."""
    model = opened(model_name)
    readings: list[Reading] = []
    if folder:
        readings += compare(list(uploads(folder)), model)
    if count:
        print(f"\n{count} on each of {len(PAPERS)} papers, made by code:")
        readings += compare(list(papers(count, 1, data_dir)), model)
    if sheet:
        contact_sheet(readings, sheet)
        print(f"\nwrote {sheet}")
