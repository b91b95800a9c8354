"""Does a probability mean what it says, and is what is no digit told from digits? On uploads, and on strangers."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.not_digits import strangers
from benchmarks.uploads import Grey, opened, uploads
from service import digits
from service.decoding.images import Budget, decode_image
from service.doubt import doubt_of
from service.errors import UnusableInput
from service.repository import Model
from training.datasets import Split
from training.datasets.mnist import Mnist
from training.errors import TrainingError
from training.recipes.definition import Recipe
from training.report.judgement import Judgement

COVERAGE = 0.95
Floats = NDArray[np.float64]


def measure(folder: Path | None, fonts: Path | None, data_dir: Path, model_name: str, picture: Path | None) -> None:
    """Print how well calibrated the probabilities of a folder's uploads are, and how many strangers are flagged."""
    model = opened(model_name)
    held = _validation(model, data_dir)
    seen = {"MNIST, validation": (held.inputs.numpy(), held.targets.numpy())}
    if folder:
        seen["uploads"] = _uploads(folder)
    judged = {name: (_logarithms(model, images), targets) for name, (images, targets) in seen.items()}
    temperature = model.bundle.metrics.get("temperature", 1.0)
    print("| digits | temperature | error | calibration error | log-likelihood | Brier | AUROC | right at 95 % |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (logarithms, targets) in judged.items():
        for label, factor in ((f"{temperature:.3f}", 1.0), ("1", temperature)):
            figures = " | ".join(f"{figure:.4f}" for figure in _figures(_softmax(factor * logarithms), targets))
            print(f"| {name} | {label} | {figures} |")
    print("\nThe temperature, and the thresholds below, were found on MNIST's validation images.")
    if picture:
        _diagram({name: Judgement(_softmax(z).astype(np.float32), y) for name, (z, y) in judged.items()}, picture)
        print(f"\nwrote {picture}")
    _price(model, seen)
    if fonts:
        _flagged(model, fonts, held)


def _validation(model: Model, data_dir: Path) -> Split:
    """MNIST's training images that the network did not learn from."""
    data = Mnist(data_dir).train(model.bundle.seed)
    rows = msgspec.convert(model.bundle.recipe, Recipe).validation
    if not rows:
        raise TrainingError(f"{model.bundle.title} was trained without validation rows: nothing was calibrated")
    return Split(data.inputs[-rows:], data.targets[-rows:])


def _uploads(folder: Path) -> tuple[Grey, NDArray[np.int64]]:
    """Those that the ink normaliser does not refuse."""
    images, shown = [], []
    for upload in uploads(folder):
        with contextlib.suppress(UnusableInput):
            images.append(digits.normalise(upload.picture.grey))
            shown.append(upload.digit)
    return np.stack(images), np.array(shown)


def _logarithms(model: Model, images: Grey) -> Floats:
    """Logarithms of the probabilities: the network's logits over the temperature, but for a constant a row."""
    probabilities = model.predict({"image": images})["probabilities"].astype(np.float64)
    return np.asarray(np.log(probabilities.clip(1e-30)))


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


def _diagram(judgements: dict[str, Judgement], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(5, 5), dpi=120, layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.7")
    for name, judgement in judgements.items():
        if calibration := judgement.calibration():
            axes.plot(calibration.confidence, calibration.accuracy, "o-", label=f"{name}: {calibration.error:.4f}")
    axes.set(xlabel="confidence", ylabel="accuracy", title="15 bins of equally many; calibration error")
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def _unsure(model: Model, images: Grey) -> NDArray[np.bool_]:
    """[n, 2]: whether each picture looks like no digit, and whether it is unsure, as the service would say."""
    found = model.predict({"image": images})
    highest = found["probabilities"].max(axis=1).tolist()
    doubts = [doubt_of(model.bundle, *pair) for pair in zip(highest, found["background"].ravel().tolist(), strict=True)]
    return np.array([(doubt is not None and "none of" in doubt, doubt is not None) for doubt in doubts])


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
            count += (1, 0, *_unsure(model, image[None])[0])
    print("\n| no digits | half | pictures | refused (422) | none of the labels | unsure | refused or none |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for half in (False, True):
        mine = {kind: count for (kept, kind), count in counts.items() if kept is half}
        mine["**all**"] = np.sum(list(mine.values()), axis=0)
        for kind, (n, refused, none, unsure) in mine.items():
            share = (refused + none) / n
            print(f"| {kind} | {'kept' if half else 'chosen by'} | {n} | {refused} | {none} | {unsure} | {share:.3f} |")


def _price(model: Model, seen: dict[str, tuple[Grey, NDArray[np.int64]]]) -> None:
    """Print what the bundle's thresholds cost real digits, and what is right of the rest."""
    print("\n| digits | none of the labels | unsure | answered | right of those |\n| --- | --- | --- | --- | --- |")
    for name, (images, targets) in seen.items():
        none, unsure = _unsure(model, images).T
        right = model.predict({"image": images})["probabilities"].argmax(axis=1) == targets
        figures = none.mean(), unsure.mean(), 1 - unsure.mean(), right[~unsure].mean()
        print(f"| {name} | {' | '.join(f'{figure:.4f}' for figure in figures)} |")
