"""The sections of a report."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.features import has_special_features
from service.bundle.manifest import Column
from training.datasets.dataset import Dataset
from training.learning.train import TrainingResult
from training.networks.mlp import linear_parameters
from training.recipes.recipe import Recipe
from training.report import plots
from training.report.evaluation import Evaluation, Misclassification

MAX_LISTED_ROWS, MAX_LISTED_PARAMETERS, MAX_LISTED_FEATURES = 12, 20, 6
MAX_MISCLASSIFIED, SHOWN_PREDICTIONS = 16, 16
CORRECT_RGB, WRONG_RGB = "58, 106, 165", "200, 85, 61"  # plots.CLASS_COLOURS
NO_IMAGES = "Bundles contain no images of the data set: `digitalis report {name}` draws these."

TableRow = tuple[Any, ...]


@dataclass(frozen=True)
class Section:
    """A heading with, where there is one, a note, a picture (PNG) and a table, whose first row is its header."""

    title: str
    note: str = ""
    picture: bytes = b""
    table: tuple[TableRow, ...] = ()

    @property
    def file_name(self) -> str:
        """The file name of its picture: `learning-curve.png`."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") + ".png"


@dataclass(frozen=True)
class SectionWriter:
    """Makes the sections about one network; `show_rows`: its pictures may show rows of the data set."""

    recipe: Recipe
    result: TrainingResult
    dataset: Dataset
    show_rows: bool

    def sections(self) -> Iterator[Section]:
        """All sections, in order."""
        evaluation = Evaluation.of(self.result.network, self.result.evaluation_split)
        table = tuple(self._weights()) if self.recipe.num_parameters <= MAX_LISTED_PARAMETERS else ()
        yield Section("Network", picture=plots.plot_network(self.recipe), table=table)
        if self.result.curve:
            note = "Mean over the mini-batches since the previous point, each evaluated before its update."
            yield Section("Learning curve", note, plots.plot_learning_curve(self.result.curve))
        yield from self._outputs()
        yield from (
            {"regression": self._regression, "mixture": self._mixture}.get(self.recipe.task, self._classification)(
                evaluation
            )
        )

    def _weights(self) -> Iterator[TableRow]:
        """The weights of a small network, one neuron in each row."""
        yield "layer", "neuron", "weights", "bias"
        for layer, (weights, biases) in enumerate(linear_parameters(self.result.network.layers), 1):
            for neuron, (row, bias) in enumerate(zip(weights.tolist(), biases.tolist(), strict=True), 1):
                yield str(layer), str(neuron), ", ".join(f"{weight:.4g}" for weight in row), f"{bias:.4g}"

    def _outputs(self) -> Iterator[Section]:
        """The outputs over one or two features, and for every row of a small data set."""
        network, data = self.result.network, self.result.train
        features, points = self._features(), data if self.show_rows else None
        drawn = not has_special_features(features)  # over numbers, all of which are there
        if self.recipe.task == "mixture":
            return
        if len(features) == 1 and drawn:
            yield Section("Outputs", picture=plots.plot_outputs(network, features[0], self._output_names(), points))
        if len(features) == 2 and drawn and self.recipe.task == "binary":
            blue, red = self.dataset.labels
            note = f"Blue: “{blue}”, red: “{red}”; on the black line both have probability 0.5."
            note += " The dots are the training data." if self.show_rows else ""
            yield Section("Decision boundary", note, plots.plot_decision_boundary(network, features, points))
        if len(data.targets) <= MAX_LISTED_ROWS:
            yield Section("All rows", table=tuple(self._rows(features)))

    def _rows(self, features: tuple[Column, ...]) -> Iterator[TableRow]:
        data, labels = self.result.train, self.dataset.labels
        outputs = Evaluation.of(self.result.network, data).outputs
        predicted = "probability of" if labels else "predicted"
        yield (*(feature.name for feature in features), "true", *(f"{predicted} {n}" for n in self._output_names()))
        for row, target, output in zip(data.inputs.tolist(), data.targets.tolist(), outputs.tolist(), strict=True):
            true = labels[target] if labels else ", ".join(f"{value:g}" for value in target)
            yield (*(f"{value:g}" for value in row), true, *(f"{value:.4g}" for value in output))

    def _regression(self, evaluation: Evaluation) -> Iterator[Section]:
        names = self._output_names()
        rows = ((figure, *(f"{one:.4g}" for one in values)) for figure, values in evaluation.errors_by_value())
        yield Section("Errors", "In the units of each value.", table=(("", *names), *rows))
        if self.show_rows:
            picture = plots.plot_predicted_and_true(evaluation.outputs, evaluation.targets, names)
            yield Section("Predicted and true", picture=picture)

    def _mixture(self, _evaluation: Evaluation) -> Iterator[Section]:
        """The density over the data, if there is one feature to draw it over."""
        (target,) = self.dataset.target_columns(self.result.train)
        features, points = self._features(), self.result.train if self.show_rows else None
        if len(features) == 1:
            note = "The mean lies between the answers, where there are several."
            yield Section("Density", note, plots.plot_density(self.result.network, features[0], target, points))

    def _classification(self, evaluation: Evaluation) -> Iterator[Section]:
        labels, counts = self.dataset.labels, evaluation.confusion_matrix()
        picture = plots.plot_confusion_matrix(counts, labels) if self.show_rows else b""
        note = "Rows: true class. Columns: predicted class."
        yield Section("Confusion matrix", note, picture, table=(("", *labels), *_shaded(counts, labels)))
        calibration = evaluation.calibration()
        if calibration:
            note = f"Expected calibration error: {calibration.error:.4f}, over bins of equally many rows."
            yield Section("Calibration", note, plots.plot_calibration(calibration))
        misclassified = evaluation.misclassified(MAX_MISCLASSIFIED)
        if misclassified:
            yield self._misclassified(misclassified)
        if self.show_rows and self.recipe.takes_images:
            yield self._predictions(evaluation)

    def _predictions(self, evaluation: Evaluation) -> Section:
        labels, rows = self.dataset.labels, []
        pairs = zip(evaluation.targets.tolist(), evaluation.predicted.tolist(), strict=True)
        for row, (true, predicted) in zip(range(SHOWN_PREDICTIONS), pairs, strict=False):
            rows.append((row, _caption(labels[true], labels[predicted]), true == predicted))
        picture = plots.plot_images(self.result.evaluation_split, rows, ink_is_high=not self.recipe.pictures)
        return Section("Predictions", f"The first {len(rows)} held-out images.", picture)

    def _misclassified(self, found: list[Misclassification]) -> Section:
        labels, picture = self.dataset.labels, b""
        note = f"At most {MAX_MISCLASSIFIED}, those of the highest confidence first."
        lines = self.result.evaluation_split.lines
        if self.recipe.takes_images and self.show_rows:
            rows = [(one.row, _caption(labels[one.true], labels[one.predicted]), False) for one in found]
            picture = plots.plot_images(self.result.evaluation_split, rows, ink_is_high=not self.recipe.pictures)
        elif self.recipe.takes_images:
            note += " " + NO_IMAGES.format(name=self.recipe.name)
        features = self._features()[:MAX_LISTED_FEATURES] if self._shows_features else ()
        header = (
            "line of the file" if lines else "row",
            "true",
            "predicted",
            "confidence",
            *(feature.name for feature in features),
        )
        table = (
            (
                lines[one.row] if lines else one.row,
                labels[one.true],
                labels[one.predicted],
                f"{one.confidence:.4f}",
                *self._first_features(one.row),
            )
            for one in found
        )
        return Section("Misclassified rows", note, picture, (header, *table))

    @property
    def _shows_features(self) -> bool:
        """Whether rows may be listed with values: of a user's table not in a bundle, which every client can read."""
        return not self.recipe.takes_images and (self.show_rows or not self.recipe.is_of_own_data)

    def _first_features(self, row: int) -> list[str]:
        """The first features of a row that was evaluated; empty for an image, and where they must not be shown."""
        if not self._shows_features:
            return []
        values = self.result.evaluation_split.inputs[row, :MAX_LISTED_FEATURES].tolist()
        return [_shown(value, feature) for value, feature in zip(values, self._features(), strict=False)]

    def _features(self) -> tuple[Column, ...]:
        return self.dataset.feature_columns(self.result.train)

    def _output_names(self) -> tuple[str, ...]:
        """The labels, or the names of the predicted values."""
        return self.dataset.labels or tuple(column.name for column in self.dataset.target_columns(self.result.train))


def _shown(value: float, feature: Column) -> str:
    if math.isnan(value):
        return "—"
    return feature.categories[int(value)] if feature.categories else f"{value:.4g}"


def _caption(true: str, predicted: str) -> str:
    return f"true {true}, predicted {predicted}"


def _shaded(counts: NDArray[np.int64], labels: tuple[str, ...]) -> Iterator[TableRow]:
    """The rows of a confusion matrix as shaded cells: blue for correct, red for wrong, darker for more of the row."""
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for i, (row, row_fractions) in enumerate(zip(counts.tolist(), fractions.tolist(), strict=True)):
        colours = [CORRECT_RGB if i == j else WRONG_RGB for j in range(len(row))]
        cells = zip(row, row_fractions, colours, strict=True)
        yield labels[i], *({"count": n, "shade": round(part**0.5 * 0.8, 2), "colour": c} for n, part, c in cells)
