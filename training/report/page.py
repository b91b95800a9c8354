"""A report: its sections, and the page that they make."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import numpy as np

from service.bundle.manifest import Feature
from training.datasets import Dataset
from training.learning.backprop import linear_layers
from training.learning.train import Trained
from training.recipes.recipe import Descent, Recipe, Scaling
from training.report import plots
from training.report.evaluation import Judgement, Mistake

FEW, FEW_PARAMETERS, MOST_MISTAKES, SHOWN_FEATURES = 12, 20, 16, 6
SCALINGS: dict[Scaling, str] = {
    "none": "as they are",
    "standardised": "standardised to mean 0 and deviation 1, inside the graph",
    "unit": "pixels scaled to 0 to 1, inside the graph",
    "centred": "pixels scaled to -1 to 1, inside the graph",
}
NO_DATA = "Pictures of the data are left out of bundles: `python -m training report` draws them."
_TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True)
_TEMPLATES.trim_blocks = _TEMPLATES.lstrip_blocks = True
_TEMPLATES.filters["b64"] = lambda content: base64.b64encode(content).decode()


@dataclass(frozen=True)
class Section:
    """A heading, and below it what there is of a note, a picture (PNG) and a table (its first row the header)."""

    title: str
    note: str = ""
    picture: bytes = b""
    table: tuple[tuple[Any, ...], ...] = ()

    @property
    def file_name(self) -> str:
        """What its picture is called as a file: `learning-curve.png`."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") + ".png"


@dataclass(frozen=True)
class Report:
    """What is to be told of one network. With `data`, its pictures show rows of the data set."""

    version: str
    recipe: Recipe
    trained: Trained
    dataset: Dataset
    data: bool = False

    def sections(self) -> list[Section]:
        """All that there is to see."""
        judgement = Judgement.of(self.trained.network, self.trained.judged_on)
        table = tuple(self._weights()) if self.recipe.parameters <= FEW_PARAMETERS else ()
        found = [Section("The network", picture=plots.drawn_network(self.recipe), table=table)]
        if self.trained.curve:
            note = "How each part of the training went, as it was before each step."
            found.append(Section("Learning curve", note, plots.learning_curve(self.trained.curve)))
        found += self._answers()
        found += self._values(judgement) if self.recipe.task == "regression" else self._classes(judgement)
        return found

    def html(self, sections: list[Section]) -> bytes:
        """One page that needs no other file."""
        page = _TEMPLATES.get_template("page.html").render(
            name=self.recipe.name,
            version=self.version,
            summary=self.recipe.summary,
            facts=list(self._facts()),
            metrics=[(name.replace("_", " "), f"{value:g}") for name, value in self.trained.metrics.items()],
            judged_on="On data that it never saw; “train” on the rows that it learned from."
            if self.trained.held_out
            else "On the rows that it learned from: there are no others.",
            sections=sections,
        )
        return page.encode()

    def _facts(self) -> Iterator[tuple[str, str]]:
        recipe, fit = self.recipe, self.recipe.fit
        yield "task", recipe.task
        yield "layers", f"{'-'.join(map(str, recipe.layers))}: {recipe.parameters:,} parameters"
        if len(recipe.layers) > 2:
            yield "activation", recipe.activation
        yield "inputs", SCALINGS[recipe.scaling]
        if isinstance(fit, Descent):
            optimiser = msgspec.to_builtins(fit.optimiser)
            extra = "".join(f", {key} {value:g}" for key, value in (("dropout", fit.dropout), ("L2", fit.l2)) if value)
            yield "trained by", f"{optimiser['name']}, rate {fit.optimiser.rate:g}, batch {fit.batch}{extra}"
            yield "for", f"{fit.epochs:,} epochs from seed {self.trained.seed}"
        else:
            yield "weights", "set by hand"
        held_out = len(self.trained.held_out.targets) if self.trained.held_out else 0
        validation = f", {recipe.validation:,} of them for validation" if recipe.validation else ""
        rows = f"{len(self.trained.train.targets):,} rows{validation}, {held_out:,} held out"
        yield "data", f"{self.dataset.source}: {rows}"
        if recipe.background:
            yield "its background", f"learned from {recipe.background.strangers:,} pictures of what is no digit"
        if abstention := self.trained.abstention:
            yield "unsure", f"below {abstention.probability:g}, or with a background above {abstention.background:g}"
        yield "licence of the data", self.dataset.licence
        over = f", as the mean over {recipe.bar.seeds} seeds" if recipe.bar.seeds > 1 else ""
        judged = " on the validation rows" if recipe.validation else ""
        yield "its bar", f"{recipe.bar.metric} {recipe.bar.value:g}{over}{judged}"
        if recipe.lecture:
            yield "the lecture printed", recipe.lecture.printed

    def _weights(self) -> Iterator[tuple[str, ...]]:
        """A neuron a row, where they are few enough to be read."""
        yield "layer", "neuron", "weights", "bias"
        for number, (weight, bias) in enumerate(linear_layers(self.trained.network.layers), 1):
            for neuron, (weights, own) in enumerate(zip(weight.tolist(), bias.tolist(), strict=True), 1):
                yield str(number), str(neuron), ", ".join(f"{value:.4g}" for value in weights), f"{own:.4g}"

    def _answers(self) -> Iterator[Section]:
        """What it answers over one feature or two; on every row, where there are few."""
        network, data = self.trained.network, self.trained.train
        features, points = self._features(), data if self.data else None
        if len(features) == 1:
            names = self.dataset.labels or [target.name for target in self.dataset.targets(data)]
            yield Section("Answers", picture=plots.line(network, features[0], names, points))
        if len(features) == 2 and self.recipe.task == "binary":
            blue, red = self.dataset.labels
            note = f"Blue is “{blue}”, red “{red}”; on the black line they are as likely."
            note += " The dots are the rows that it learned from." if self.data else ""
            yield Section("Decision boundary", note, plots.plane(network, features, points))
        if len(data.targets) <= FEW:
            yield Section("Every row", table=tuple(self._rows(features)))

    def _rows(self, features: tuple[Feature, ...]) -> Iterator[tuple[str, ...]]:
        data = self.trained.train
        answers = Judgement.of(self.trained.network, data).answers
        labels = self.dataset.labels
        wanted = labels or tuple(target.name for target in self.dataset.targets(data))
        yield (*(feature.name for feature in features), "wanted", *(f"answers {name}" for name in wanted))
        for row, target, answer in zip(data.inputs.tolist(), data.targets.tolist(), answers.tolist(), strict=True):
            right = labels[target] if labels else ", ".join(f"{value:g}" for value in target)
            yield (*(f"{value:g}" for value in row), right, *(f"{value:.4g}" for value in answer))

    def _values(self, judgement: Judgement) -> Iterator[Section]:
        names = [target.name for target in self.dataset.targets(self.trained.train)]
        rows = ((share, *(f"{value:.4g}" for value in values)) for share, values in judgement.errors())
        yield Section("How far off", "In the values' own units.", table=(("", *names), *rows))
        if self.data:
            picture = plots.values(judgement.answers, judgement.targets, names)
            yield Section("Foretold and true", picture=picture)

    def _classes(self, judgement: Judgement) -> Iterator[Section]:
        labels = self.dataset.labels
        note = "Down: what each row is. Across: what it was taken for."
        picture = plots.confusion(judgement.confusion(), labels) if self.data else b""
        yield Section("Confusion matrix", note, picture, table=(("", *labels), *_shaded(judgement.confusion(), labels)))
        calibration = judgement.calibration()
        if calibration:
            note = f"The expected calibration error is {calibration.error:.4f}, over bins of equally many rows."
            yield Section("Calibration", note, plots.calibration(calibration))
        mistakes = judgement.mistakes(MOST_MISTAKES)
        if mistakes:
            yield self._mistakes(mistakes)
        if self.data and self.recipe.takes_images:
            pairs = zip(judgement.targets[:16].tolist(), judgement.chosen[:16].tolist(), strict=True)
            drawn = [(i, f"{labels[is_]}, read as {labels[read]}", is_ == read) for i, (is_, read) in enumerate(pairs)]
            picture = plots.images(self.trained.judged_on, drawn)
            yield Section("Predictions", "The first sixteen that it never saw.", picture)

    def _mistakes(self, mistakes: list[Mistake]) -> Section:
        labels, note, picture = self.dataset.labels, "Those of which it was surest.", b""
        if self.recipe.takes_images and self.data:
            drawn = [plots.mistaken(mistake, labels) for mistake in mistakes]
            picture = plots.images(self.trained.judged_on, drawn)
        elif self.recipe.takes_images:
            note += f" {NO_DATA}"
        columns = (feature.name for feature in self._features()[:SHOWN_FEATURES])
        rows = (
            (m.row, labels[m.truth], labels[m.answer], f"{m.probability:.4f}", *self._shown(m.row)) for m in mistakes
        )
        header = ("row", "is", "taken for", "with probability", *columns)
        return Section("Worst mistakes", note, picture, (header, *rows))

    def _shown(self, row: int) -> list[str]:
        """The first features of a row that it was judged on; none of an image."""
        if self.recipe.takes_images:
            return []
        return [f"{value:.4g}" for value in self.trained.judged_on.inputs[row, :SHOWN_FEATURES].tolist()]

    def _features(self) -> tuple[Feature, ...]:
        return self.dataset.features(self.trained.train)


def _shaded(counts: Any, labels: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """The rows of a confusion matrix, darker for more: blue where right, red where wrong."""
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for i, (row, shares) in enumerate(zip(counts.tolist(), (counts / totals).tolist(), strict=True)):
        colours = ["58, 106, 165" if i == j else "200, 85, 61" for j in range(len(row))]
        cells = zip(row, shares, colours, strict=True)
        yield labels[i], *({"count": n, "shade": round(share**0.5 * 0.8, 2), "colour": c} for n, share, c in cells)
