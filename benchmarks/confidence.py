"""Calibration of the digit models' probabilities, and detection of out-of-distribution (OOD) images.

Calibration is measured on MNIST's validation images and on uploads, OOD detection on `ood_corpus`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import matplotlib.pyplot as plt
import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.ood_corpus import generate_ood_images
from benchmarks.uploads import load_uploads, open_model, predict_uploads
from service.bundle.signature import Arrays
from service.errors import UnprocessableInput
from service.images.decoding import decode_image
from service.images.limits import PixelBudget
from service.inference.abstention import abstention_reason
from service.inference.model import Model
from training import normaliser
from training.datasets.dataset import Split
from training.datasets.mnist import Mnist
from training.errors import TrainingError
from training.learning.train import train_validation_split
from training.recipes.recipe import Recipe
from training.report.evaluation import Evaluation

REPORTED_COVERAGE = 0.95
COVERAGES = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8)
DIAGRAM_FLOOR = 1e-5  # the lowest value on the diagram's logarithmic axes
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Images UINT8 [n, 28, 28], their labels INT64 [n], and the network's outputs for them."""

    images: NDArray[np.uint8]
    targets: NDArray[np.int64]
    outputs: Arrays

    @classmethod
    def from_model(cls, model: Model, images: NDArray[np.uint8], targets: NDArray[np.int64]) -> Self:
        """Run the model on the images."""
        return cls(images, targets, model.predict({"image": images}))

    @property
    def log_probabilities(self) -> Floats:
        """The logits divided by the temperature, up to a constant per row; [n, 10]."""
        return np.asarray(np.log(self.outputs["probabilities"].astype(np.float64).clip(1e-30)))


def measure(folder: Path | None, fonts: Path | None, data_dir: Path, model_name: str, diagram: Path | None) -> None:
    """Print the calibration on validation images and uploads, the cost of abstention, and the OOD detection rates."""
    model = open_model(model_name)
    validation = _validation_split(model, data_dir)
    predictions = {
        "MNIST, validation": Predictions.from_model(model, validation.inputs.numpy(), validation.targets.numpy())
    }
    if folder:
        found = predict_uploads(list(load_uploads(folder)), normaliser.normalise, model)
        accepted = [(it.network_input, it.upload.digit) for it in found if it.network_input is not None]
        images, targets = np.stack([image for image, _ in accepted]), np.array([digit for _, digit in accepted])
        predictions["uploads"] = Predictions.from_model(model, images, targets)
    _calibration(model.bundle.metrics.get("temperature", 1.0), predictions)
    if diagram:
        _reliability_diagram(predictions, diagram)
        print(f"\nwrote {diagram}")
    _accuracy_by_coverage(predictions)
    _abstention_cost(model, predictions)
    if fonts:
        _ood_detection(model, fonts, validation)


def _validation_split(model: Model, data_dir: Path) -> Split:
    """The MNIST training images that were set aside for validation when this bundle was trained."""
    recipe = msgspec.convert(model.bundle.recipe, Recipe)
    _, validation = train_validation_split(recipe, Mnist(data_dir).train(model.bundle.seed))
    if validation is None:
        raise TrainingError(f"{model.bundle.id} was trained without validation rows, so it is not calibrated")
    return validation


def _calibration(temperature: float, predictions: dict[str, Predictions]) -> None:
    """Print the calibration metrics at the bundle's temperature and at temperature 1."""
    print("| digits | temperature | error rate | ECE | NLL | Brier | AUROC | accuracy at 95% coverage |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, found in predictions.items():
        for label, factor in ((f"{temperature:.3f}", 1.0), ("1", temperature)):
            metrics = _calibration_metrics(_softmax(factor * found.log_probabilities), found.targets)
            print(f"| {name} | {label} | {' | '.join(f'{metric:.4f}' for metric in metrics)} |")
    print("\nTemperature and abstention thresholds were fitted on distorted copies of MNIST's validation images.")


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def _calibration_metrics(probabilities: Floats, targets: NDArray[np.int64]) -> Iterable[float]:
    """Error rate, expected calibration error, negative log-likelihood, Brier score, AUROC, accuracy at 95 % coverage.

    The AUROC is that of the confidence as a detector of correct predictions.
    """
    correct = probabilities.argmax(axis=1) == targets
    confidence = probabilities.max(axis=1)
    calibration = Evaluation(probabilities.astype(np.float32), targets).calibration()
    one_hot = np.eye(probabilities.shape[1])[targets]
    most_confident = np.argsort(-confidence, kind="stable")[: round(REPORTED_COVERAGE * len(targets))]
    yield 1 - correct.mean()
    yield calibration.error if calibration else float("nan")
    yield float(-np.log((probabilities * one_hot).sum(axis=1).clip(1e-30)).mean())
    yield float(((probabilities - one_hot) ** 2).sum(axis=1).mean())
    yield float(roc_auc_score(correct, confidence)) if not correct.all() else 1.0
    yield float(correct[most_confident].mean())


def _reliability_diagram(predictions: dict[str, Predictions], path: Path) -> None:
    """Draw the error rate against 1 - confidence, both logarithmic."""
    figure, axes = plt.subplots(figsize=(5.5, 5), dpi=120, layout="constrained")
    axes.plot([DIAGRAM_FLOOR, 1], [DIAGRAM_FLOOR, 1], color="0.7")
    for name, found in predictions.items():
        if calibration := Evaluation(found.outputs["probabilities"], found.targets).calibration():
            expected, observed = (1 - np.asarray(it) for it in (calibration.confidence, calibration.accuracy))
            label = f"{name}: calibration error {calibration.error:.4f}"
            axes.loglog(expected.clip(DIAGRAM_FLOOR), observed.clip(DIAGRAM_FLOOR), "o", label=label)
    title = "15 bins of equal size; a point on the lower edge: no errors"
    axes.set(xlabel="1 - confidence", ylabel="error rate", title=title)
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def _accuracy_by_coverage(predictions: dict[str, Predictions]) -> None:
    """Print the accuracy on the most confident fraction of the predictions, for several fractions."""
    print(f"\n| accuracy at coverage | {' | '.join(f'{coverage:.0%}' for coverage in COVERAGES)} |")
    print(f"| --- |{' --- |' * len(COVERAGES)}")
    for name, found in predictions.items():
        probabilities = found.outputs["probabilities"]
        most_confident = np.argsort(-probabilities.max(axis=1), kind="stable")
        correct = (probabilities.argmax(axis=1) == found.targets)[most_confident]
        cells = (f"{correct[: round(coverage * len(correct))].mean():.4f}" for coverage in COVERAGES)
        print(f"| {name} | {' | '.join(cells)} |")


def _ood_and_abstained(model: Model, outputs: Arrays) -> NDArray[np.bool_]:
    """[n, 2]: whether the service would flag each image as OOD, and whether it would abstain for any reason."""
    rows = zip(outputs["probabilities"].max(axis=1).tolist(), outputs["background"].ravel().tolist(), strict=True)
    # At confidence 1.0 only the OOD score can make the service abstain.
    reasons = [
        [abstention_reason(model.bundle, it, ood_score) for it in (1.0, confidence)] for confidence, ood_score in rows
    ]
    return np.array([[reason is not None for reason in both] for both in reasons])


def _abstention_cost(model: Model, predictions: dict[str, Predictions]) -> None:
    """Print how many real digits the bundle's thresholds abstain on, and the accuracy on the others."""
    print("\n| digits | flagged as OOD | abstained | coverage | accuracy when not abstained |")
    print("| --- | --- | --- | --- | --- |")
    for name, found in predictions.items():
        ood, abstained = _ood_and_abstained(model, found.outputs).T
        correct = found.outputs["probabilities"].argmax(axis=1) == found.targets
        fractions = ood.mean(), abstained.mean(), 1 - abstained.mean(), correct[~abstained].mean()
        print(f"| {name} | {' | '.join(f'{fraction:.4f}' for fraction in fractions)} |")


def _ood_detection(model: Model, fonts: Path, validation: Split) -> None:
    """Print how many OOD images of each kind are rejected by the normaliser, flagged as OOD, or abstained on."""
    images = {digit: validation.inputs[validation.targets == digit].numpy() for digit in range(10)}
    counts: dict[tuple[bool, str], NDArray[np.int64]] = {}
    for ood in generate_ood_images(fonts, images, count=40, seed=1):
        count = counts.setdefault((ood.held_out, ood.kind), np.zeros(4, np.int64))
        try:
            image = normaliser.normalise(decode_image(ood.file, PixelBudget(10**9)).pixels)
        except UnprocessableInput:
            count += (1, 1, 0, 0)
        else:
            count += (1, 0, *_ood_and_abstained(model, model.predict({"image": image[None]}))[0])
    print("\n| OOD images | half | images | rejected (422) | flagged as OOD | abstained | rejected or flagged |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for held_out, half in ((False, "development"), (True, "held out")):
        by_kind = {kind: count for (is_held_out, kind), count in counts.items() if is_held_out is held_out}
        by_kind["**all**"] = np.sum(list(by_kind.values()), axis=0)
        for kind, (n, rejected, flagged, abstained) in by_kind.items():
            detected = (rejected + flagged) / n
            print(f"| {kind} | {half} | {n} | {rejected} | {flagged} | {abstained} | {detected:.3f} |")
