"""What to say about a network that was trained on a table: how it compares with simpler models."""

from collections.abc import Iterator

from training.errors import BelowThreshold
from training.learning.train import TrainingResult
from training.recipes.recipe import Recipe
from training.report.evaluation import Evaluation

AS_GOOD = 0.005  # of accuracy or R²: less than that is chance


def comparison_lines(recipe: Recipe, metrics: dict[str, float]) -> Iterator[str]:
    """The network beside a linear model and the simplest guess, on held-out rows, and what follows from it."""
    metric = recipe.acceptance.metric
    shown = "R²" if metric == "r2" else metric.replace("_", " ")
    guess, linear = ("mean", "linear regression") if metric == "r2" else ("majority", "logistic regression")
    own, simple, least = metrics[metric], metrics[f"linear_{metric}"], metrics[f"{guess}_{metric}"]
    of_guess = "predicting the mean" if metric == "r2" else "always the most frequent class"
    yield f"held-out {shown}: network {own:.4f}, {linear} {simple:.4f}, {of_guess} {least:.4f}"
    if own <= least:
        yield f"the network is no better than {of_guess}: what it has learned does not hold for other rows"
    elif simple >= own - AS_GOOD:
        yield (
            f"a {linear} is as good: the features have no effect on each other that helps, or there are too few rows; "
            "hidden_layers = [] in a recipe file trains one"
        )


def lines_by_value(recipe: Recipe, result: TrainingResult) -> Iterator[str]:
    """For several targets: R² and the root mean squared error of each, whose units may differ."""
    if not recipe.table or len(recipe.table.targets) == 1:
        return
    r2, error = (values for _, values in Evaluation.of(result.network, result.evaluation_split).errors_by_value()[:2])
    for name, *figures in zip(recipe.table.targets, r2, error, strict=True):
        yield "held-out {}: R² {:.4f}, root mean squared error {:.4g}".format(name, *figures)


def explain_threshold(recipe: Recipe, error: BelowThreshold) -> BelowThreshold:
    """The same error with words about what it means for a table."""
    guess = "the mean of the target" if recipe.task == "regression" else "the same class"
    rows = f"{recipe.validation_rows:,} validation rows"
    data, what = ("columns", "table") if recipe.table else ("pictures", "folder")
    return BelowThreshold(
        f"{error}\nOn {rows}, that may be chance: always saying {guess} comes near it. Either the {data} say little "
        "about the target, or there are too few, or the target is not what it seems: `digitalis init` shows what was "
        f"made of the {what}, and writes the threshold, which can be lowered."
    )
