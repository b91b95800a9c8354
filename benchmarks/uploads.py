"""Accuracy on digits that people upload: real uploads from a folder, and synthetic ones from `synthetic_corpus`.

The folder contains `labels.csv` (columns path, label, source) and the image files. Each source has few writers, so the
figures that count are the accuracy per source and the mean over sources.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from benchmarks.baselines import Grey, crop_and_centre, resize, resize_and_invert
from benchmarks.synthetic_corpus import STYLES, generate_corpus
from service.errors import UnprocessableInput
from service.images.decoding import DecodedImage, decode_image
from service.images.limits import PixelBudget
from service.inference.model import Model
from service.settings import Settings
from training import normaliser
from training.datasets.mnist import Mnist

Preprocessor = Callable[[Grey], Grey]
"""A greyscale image of any size to a 28x28 network input; raises `UnprocessableInput` if it rejects the image."""

SourceAccuracy = dict[str, float]
"""Accuracy, 0 to 1, by source."""

PREPROCESSORS: dict[str, Preprocessor] = {
    "resized": resize,
    "resized, inverted": resize_and_invert,
    "first normaliser": crop_and_centre,
    "ink normaliser": normaliser.normalise,
}
SHEET_CELL = 150  # pixels per image in the contact sheet
SHEET_COLUMNS = 6
CAPTION_HEIGHT = 14


@dataclass(frozen=True)
class Upload:
    """One labelled upload of a corpus: the decoded image, and the bytes of its file."""

    name: str
    source: str
    digit: int
    picture: DecodedImage
    file: bytes


@dataclass(frozen=True)
class UploadPrediction:
    """The network's prediction for one upload.

    A rejected upload has no `network_input`, the `rejection` message, label -1 and probability 0.
    """

    upload: Upload
    network_input: Grey | None
    rejection: str
    label: int
    probability: float

    @property
    def is_correct(self) -> bool:
        """Whether the predicted label is the true one."""
        return self.label == self.upload.digit


def load_uploads(folder: Path) -> Iterator[Upload]:
    """The uploads that `labels.csv` of a folder lists."""
    with (folder / "labels.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            file = (folder / row["path"]).read_bytes()
            yield Upload(row["path"], row["source"], int(row["label"]), decode_image(file, PixelBudget(10**9)), file)


def generate_uploads(count: int, seed: int, data_dir: Path) -> Iterator[Upload]:
    """Synthetic uploads: `count` digits of each of `STYLES`, about half of them made from MNIST training images."""
    mnist = Mnist(data_dir).train(0)
    generated = generate_corpus(count, seed, (mnist.inputs.numpy(), mnist.targets.numpy()))
    for i, (style, digit, file) in enumerate(generated):
        yield Upload(f"{style}/{i}", style, digit, decode_image(file, PixelBudget(10**9)), file)


def open_model(name: str) -> Model:
    """Open the newest version of a bundle in models/ on the CPU."""
    settings = Settings(device="cpu", models_dir=Path(__file__).parent.parent / "models")
    return Model.open(max((settings.models_dir / name).iterdir(), key=lambda folder: int(folder.name)), settings)


def predict_uploads(corpus: list[Upload], preprocess: Preprocessor, model: Model) -> list[UploadPrediction]:
    """Preprocess every upload, then classify all of them as one batch."""
    inputs: list[Grey | str] = []
    for upload in corpus:
        try:
            inputs.append(preprocess(upload.picture.pixels))
        except UnprocessableInput as rejection:
            inputs.append(str(rejection))
    images = np.stack([it if isinstance(it, np.ndarray) else np.zeros((28, 28), np.uint8) for it in inputs])
    probabilities = model.predict({"image": images})["probabilities"]
    return [
        UploadPrediction(upload, None, network_input, -1, 0.0)
        if isinstance(network_input, str)
        else UploadPrediction(upload, network_input, "", int(row.argmax()), float(row.max()))
        for upload, network_input, row in zip(corpus, inputs, probabilities, strict=True)
    ]


def accuracy_by_source(predictions: list[UploadPrediction]) -> SourceAccuracy:
    """The accuracy on each source; a rejected upload counts as an error."""
    sources: dict[str, list[bool]] = {}
    for prediction in predictions:
        sources.setdefault(prediction.upload.source, []).append(prediction.is_correct)
    return {source: sum(correct) / len(correct) for source, correct in sources.items()}


def mean_over_sources(accuracy: SourceAccuracy) -> float:
    """The unweighted mean over sources, whatever their sizes."""
    return sum(accuracy.values()) / len(accuracy)


def compare_preprocessors(corpus: list[Upload], model: Model) -> list[UploadPrediction]:
    """Print the accuracy per source of every preprocessor and the ink normaliser's errors; return its predictions."""
    predictions = {name: predict_uploads(corpus, preprocess, model) for name, preprocess in PREPROCESSORS.items()}
    columns = {name: accuracy_by_source(found) for name, found in predictions.items()}
    print(f"\n| source | images | {' | '.join(PREPROCESSORS)} |\n|{' --- |' * (len(PREPROCESSORS) + 2)}")
    for source in next(iter(columns.values())):
        count = sum(upload.source == source for upload in corpus)
        print(f"| {source} | {count} | {' | '.join(f'{column[source]:.4f}' for column in columns.values())} |")
    means = " | ".join(f"{mean_over_sources(column):.4f}" for column in columns.values())
    print(f"| mean over sources | {len(corpus)} | {means} |")
    normalised = predictions["ink normaliser"]
    print(f"\nrejected: {sum(it.network_input is None for it in normalised)} of {len(normalised)}; errors:")
    for it in normalised:
        if not it.is_correct:
            print(f"  {it.upload.name}: {it.rejection or f'predicted {it.label} ({it.probability:.2f})'}")
    return normalised


def write_contact_sheet(predictions: list[UploadPrediction], path: Path) -> None:
    """Write one image of all errors: each upload, and beside it the network's input."""
    errors = [prediction for prediction in predictions if not prediction.is_correct]
    height = SHEET_CELL + CAPTION_HEIGHT
    rows = max(1, math.ceil(len(errors) / SHEET_COLUMNS))
    sheet = Image.new("RGB", (SHEET_COLUMNS * 2 * SHEET_CELL, rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    for i, error in enumerate(errors):
        left, top = i % SHEET_COLUMNS * 2 * SHEET_CELL, i // SHEET_COLUMNS * height
        result = "rejected" if error.network_input is None else f"{error.label} ({error.probability:.2f})"
        draw.text((left + 2, top + 1), f"{error.upload.name}: {result}", fill="black")
        upload = ImageOps.exif_transpose(Image.open(io.BytesIO(error.upload.file))).convert("RGBA")
        size = (SHEET_CELL - 4, SHEET_CELL - 4)
        sheet.paste(ImageOps.contain(upload, size, Image.Resampling.BOX), (left, top + CAPTION_HEIGHT))
        if error.network_input is not None:
            enlarged = Image.fromarray(error.network_input).resize((112, 112), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (left + SHEET_CELL, top + CAPTION_HEIGHT))
    sheet.save(path)


def measure(folder: Path | None, count: int, data_dir: Path, model_name: str, sheet: Path | None) -> None:
    """Print the accuracy on a folder's uploads, and on `count` synthetic uploads of each style."""
    model = open_model(model_name)
    predictions: list[UploadPrediction] = []
    if folder:
        predictions += compare_preprocessors(list(load_uploads(folder)), model)
    if count:
        print(f"\nSynthetic uploads, {count} of each of {len(STYLES)} styles:")
        predictions += compare_preprocessors(list(generate_uploads(count, 1, data_dir)), model)
    if sheet:
        write_contact_sheet(predictions, sheet)
        print(f"\nwrote {sheet}")
