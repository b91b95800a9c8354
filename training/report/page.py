"""The report of one network as an HTML page."""

import base64
import importlib.resources
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2

from training.datasets.dataset import Dataset
from training.learning.train import TrainingResult
from training.recipes.gradient_descent import GradientDescent
from training.recipes.recipe import Recipe, Scaling
from training.report.sections import Section, SectionWriter

SCALINGS: dict[Scaling, str] = {
    "none": "none",
    "standardised": "standardised to mean 0 and standard deviation 1, inside the graph",
    "encoded": "numbers standardised, one input for each category, inside the graph",
    "unit": "pixels scaled to 0 to 1, inside the graph",
    "centred": "pixels scaled to -1 to 1, inside the graph",
}
TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True)
TEMPLATES.trim_blocks = TEMPLATES.lstrip_blocks = True
LOOK = (importlib.resources.files("service.page") / "static/look.css").read_text()  # of the pages of the service
TEMPLATES.filters["b64"] = lambda content: base64.b64encode(content).decode()


@dataclass(frozen=True)
class Report:
    """The report of one network; `version` is that of its bundle. `show_rows`: pictures may show rows of the data."""

    version: str
    recipe: Recipe
    result: TrainingResult
    dataset: Dataset
    show_rows: bool = False

    def sections(self) -> list[Section]:
        """The plots and tables."""
        return list(SectionWriter(self.recipe, self.result, self.dataset, self.show_rows).sections())

    def html(self, sections: list[Section]) -> bytes:
        """One page that needs no other file: facts, metrics and sections."""
        page = TEMPLATES.get_template("page.html").render(
            look=LOOK.strip(),
            name=self.recipe.name,
            version=self.version,
            summary=self.recipe.summary,
            facts=list(self._facts()),
            metrics=[(name.replace("_", " "), f"{value:g}") for name, value in self.result.metrics.items()],
            evaluated_on=self._evaluated_on(),
            sections=sections,
        )
        return page.encode()

    def _evaluated_on(self) -> str:
        """Which rows the metrics are computed on."""
        if not self.result.held_out:
            return "On the training data: no rows are held out."
        validation = ", “validation” on the validation rows" if self.recipe.validation_rows else ""
        return f"On held-out data; those named “train” on the training data{validation}."

    def _facts(self) -> Iterator[tuple[str, str]]:
        recipe = self.recipe
        yield "task", recipe.task
        yield "layers", f"{recipe.described_layers}: {recipe.num_parameters:,} parameters"
        if recipe.convolutions or len(recipe.layers) > 2:
            yield "activation", recipe.activation
        yield "input scaling", SCALINGS[recipe.scaling]
        yield from self._training_facts()
        yield "data", f"{self.dataset.source}: {self._row_counts()}"
        yield "licence of the data", self.dataset.licence
        if abstention := self.result.abstention:
            maximum = abstention.max_background
            or_ood = "" if maximum is None else f", or OOD score above {maximum:g}"
            yield "abstention", f"confidence below {abstention.min_probability:g}{or_ood}"
        yield "acceptance threshold", self._acceptance()
        if recipe.reference:
            yield "lecture's figure", recipe.reference.reported

    def _training_facts(self) -> Iterator[tuple[str, str]]:
        training = self.recipe.training
        if not isinstance(training, GradientDescent):
            yield "weights", "set by hand, not trained"
            return
        options = {
            "learning rate": training.optimiser.learning_rate,
            "batch size": training.batch_size,
            "dropout": training.dropout,
            "weight decay": training.weight_decay,
        }
        name = type(training.optimiser).__name__
        yield "optimiser", ", ".join([name, *(f"{option} {value:g}" for option, value in options.items() if value)])
        yield "epochs", self._epochs(training)
        yield "seed", str(self.result.seed)
        if training.teacher:
            yield "knowledge distillation", f"from a convolutional teacher, {training.teacher.epochs} epochs"
        if training.ood_head:
            yield "out-of-distribution head", f"trained on {training.ood_head.negatives:,} images that are not digits"

    def _epochs(self, training: GradientDescent) -> str:
        if not training.patience:
            return f"{training.epochs:,}"
        ran = f"{self.result.curve[-1].epoch:g} of at most {training.epochs:,}"
        return f"{ran}; the weights are those of the lowest loss on the validation rows"

    def _row_counts(self) -> str:
        train, held_out = self.result.train, self.result.held_out
        rows = f"{len(train.targets):,} training rows"
        if self.recipe.validation_rows:
            rows += f", {self.recipe.validation_rows:,} of them for validation"
        return f"{rows}, {len(held_out.targets) if held_out else 0:,} held out"

    def _acceptance(self) -> str:
        acceptance = self.recipe.acceptance
        seeds = f", mean of {acceptance.seeds} seeds" if acceptance.seeds > 1 else ""
        rows = ", on the validation rows" if self.recipe.validation_rows else ""
        return f"{acceptance.metric} {acceptance.threshold:g}{seeds}{rows}"
