"""Does a probability mean what it says, and is what is no digit told from digits? On uploads, and on strangers."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import matplotlib.pyplot as plt
import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.ood_corpus import strangers
from benchmarks.uploads import Grey, opened, read, uploads
from service.bundle.signature import Arrays
from service.errors import UnusableInput
from service.images import normaliser as digits
from service.images.decoding import Budget, decode_image
from service.inference.abstention import doubt_of
from service.inference.repository import Model
from training.datasets import Split
from training.datasets.mnist import Mnist
from training.errors import TrainingError
from training.learning.train import parted
from training.recipes.recipe import Recipe
from training.report.evaluation import Judgement

COVERAGE = 0.95
FLOOR = 1e-5  # of the diagram
COVERAGES = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """Digits of one kind, UINT8 [n, 28, 28], what they show, INT64 [n], and what the network made of them."""

    images: Grey
    targets: NDArray[np.int64]
    outputs: Arrays

    @classmethod
    def by(cls, model: Model, images: Grey, targets: NDArray[np.int64]) -> Self:
        """What this network makes of them."""
        return cls(images, targets, model.predict({"image": images}))

    @property
    def logarithms(self) -> Floats:
        """Of the probabilities: the network's logits over the temperature, but for a constant a row."""
        return np.asarray(np.log(self.outputs["probabilities"].astype(np.float64).clip(1e-30)))


def measure(folder: Path | None, fonts: Path | None, data_dir: Path, model_name: str, picture: Path | None) -> None:
    """Print how well calibrated the probabilities of a folder's uploads are, and how many strangers are flagged."""
    model = opened(model_name)
    held = _validation(model, data_dir)
    seen = {"MNIST, validation": Seen.by(model, held.inputs.numpy(), held.targets.numpy())}
    if folder:
        readings = read(list(uploads(folder)), digits.normalise, model)
        images = [(reading.seen, reading.upload.digit) for reading in readings if reading.seen is not None]
        seen["uploads"] = Seen.by(model, np.stack([image for image, _ in images]), np.array([d for _, d in images]))
    temperature = model.bundle.metrics.get("temperature", 1.0)
    print("| digits | temperature | error | calibration error | log-likelihood | Brier | AUROC | right at 95 % |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, found in seen.items():
        for label, factor in ((f"{temperature:.3f}", 1.0), ("1", temperature)):
            figures = " | ".join(f"{it:.4f}" for it in _figures(_softmax(factor * found.logarithms), found.targets))
            print(f"| {name} | {label} | {figures} |")
    print("\nThe temperature, and the thresholds below, were found on MNIST's validation images.")
    if picture:
        _diagram(seen, picture)
        print(f"\nwrote {picture}")
    _coverage(seen)
    _price(model, seen)
    if fonts:
        _flagged(model, fonts, held)


def _validation(model: Model, data_dir: Path) -> Split:
    """MNIST's training images that the network did not learn from."""
    recipe = msgspec.convert(model.bundle.recipe, Recipe)
    _, held = parted(recipe, Mnist(data_dir).train(model.bundle.seed))
    if held is None:
        raise TrainingError(f"{model.bundle.title} was trained without validation rows: nothing was calibrated")
    return held


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _figures(probabilities: Floats, targets: NDArray[np.int64]) -> Iterable[float]:
    """Share of errors, expected calibration error, negative log-likelihood, Brier score, area under the ROC curve."""
    right = probabilities.argmax(axis=1) == targets
    confidence = probabilities.max(axis=1)
    calibration = Judgement(probabilities.astype(np.float32), targets).calibration()
    truth = np.eye(probabilities.shape[1])[targets]
    surest = np.argsort(-confidence, kind="stable")[: round(COVERAGE * len(targets))]
    yield 1 - right.mean()
    yield calibration.error if calibration else float("nan")
    yield float(-np.log((probabilities * truth).sum(axis=1).clip(1e-30)).mean())
    yield float(((probabilities - truth) ** 2).sum(axis=1).mean())
    yield float(roc_auc_score(right, confidence)) if not right.all() else 1.0
    yield float(right[surest].mean())


def _diagram(seen: dict[str, Seen], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(5.5, 5), dpi=120, layout="constrained")
    axes.plot([FLOOR, 1], [FLOOR, 1], color="0.7")
    for name, found in seen.items():
        if calibration := Judgement(found.outputs["probabilities"], found.targets).calibration():
            doubt, wrong = (1 - np.asarray(it) for it in (calibration.confidence, calibration.accuracy))
            label = f"{name}: calibration error {calibration.error:.4f}"
            axes.loglog(doubt.clip(FLOOR), wrong.clip(FLOOR), "o", label=label)
    title = "15 bins of equally many; at the bottom: no error"
    axes.set(xlabel="1 - confidence", ylabel="share of wrong answers", title=title)
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def _coverage(seen: dict[str, Seen]) -> None:
    """Print how many are right of the surest answers, by how many are given."""
    print(f"\n| right of the surest | {' | '.join(f'{share:.0%}' for share in COVERAGES)} |")
    print(f"| --- |{' --- |' * len(COVERAGES)}")
    for name, found in seen.items():
        probabilities = found.outputs["probabilities"]
        surest = np.argsort(-probabilities.max(axis=1), kind="stable")
        right = (probabilities.argmax(axis=1) == found.targets)[surest]
        print(f"| {name} | {' | '.join(f'{right[: round(share * len(right))].mean():.4f}' for share in COVERAGES)} |")


def _doubts(model: Model, outputs: Arrays) -> NDArray[np.bool_]:
    """[n, 2]: whether each picture looks like no digit, and whether it is unsure, as the service would say."""
    pairs = zip(outputs["probabilities"].max(axis=1).tolist(), outputs["background"].ravel().tolist(), strict=True)
    doubts = [[doubt_of(model.bundle, sure, strange) for sure in (1.0, highest)] for highest, strange in pairs]
    return np.array([[doubt is not None for doubt in both] for both in doubts])


def _price(model: Model, seen: dict[str, Seen]) -> None:
    """Print what the bundle's thresholds cost real digits, and what is right of the rest."""
    print("\n| digits | none of the labels | unsure | answered | right of those |\n| --- | --- | --- | --- | --- |")
    for name, found in seen.items():
        none, unsure = _doubts(model, found.outputs).T
        right = found.outputs["probabilities"].argmax(axis=1) == found.targets
        figures = none.mean(), unsure.mean(), 1 - unsure.mean(), right[~unsure].mean()
        print(f"| {name} | {' | '.join(f'{figure:.4f}' for figure in figures)} |")


def _flagged(model: Model, fonts: Path, held: Split) -> None:
    """Print how many of each kind look like none of the labels, are unsure at all, or are refused before."""
    images = {digit: held.inputs[held.targets == digit].numpy() for digit in range(10)}
    counts: dict[tuple[bool, str], NDArray[np.int64]] = {}
    for stranger in strangers(fonts, images, each=40, seed=1):
        count = counts.setdefault((stranger.kept, stranger.kind), np.zeros(4, np.int64))
        try:
            image = digits.normalise(decode_image(stranger.file, Budget(10**9)).grey)
        except UnusableInput:
            count += (1, 1, 0, 0)
        else:
            count += (1, 0, *_doubts(model, model.predict({"image": image[None]}))[0])
    print("\n| no digits | half | pictures | refused (422) | none of the labels | unsure | refused or none |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for half in (False, True):
        mine = {kind: count for (kept, kind), count in counts.items() if kept is half}
        mine["**all**"] = np.sum(list(mine.values()), axis=0)
        for kind, (n, refused, none, unsure) in mine.items():
            share = (refused + none) / n
            print(f"| {kind} | {'kept' if half else 'chosen by'} | {n} | {refused} | {none} | {unsure} | {share:.3f} |")
