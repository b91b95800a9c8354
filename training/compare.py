"""One recipe trained with several optimisers or batch sizes, side by side."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import torch

from training.augmentation.normaliser_artifacts import with_artifacts
from training.datasets.dataset import Dataset, Split
from training.errors import BadRecipe, TrainingError
from training.learning.curve import CurvePoint
from training.learning.optimisation import autograd_step
from training.learning.train import evaluate, fit_from_seed
from training.learning.validate import validate_recipe
from training.progress import Progress
from training.recipes.gradient_descent import SGD, Adagrad, Adam, Adamax, AdamW, GradientDescent, Optimiser, RMSprop
from training.recipes.recipe import Recipe

MIN_VALIDATION_ROWS = 4


@dataclass(frozen=True)
class Run:
    """One variant of the training: its learning curve, and its score, the recipe's metric on the validation rows."""

    variant: str
    curve: list[CurvePoint]
    score: float


def split_training_data(dataset: Dataset, rows: int, seed: int) -> tuple[Split, Split]:
    """At most `rows` random rows of the training data: five sixths to train on, and a sixth as validation rows.

    The held-out data is not read.
    """
    data = dataset.train(seed)
    order = torch.randperm(len(data.targets), generator=torch.Generator().manual_seed(seed))[:rows]
    train_rows = len(order) * 5 // 6
    first, last = order[:train_rows], order[train_rows:]
    return Split(data.inputs[first], data.targets[first]), Split(data.inputs[last], data.targets[last])


def variants(parameter: str, recipe: Recipe, rows: int) -> Iterator[tuple[str, GradientDescent]]:
    """The recipe's training with each optimiser (`parameter` "optimisers") or with each batch size ("batches").

    The recipe's own optimiser keeps its learning rate; the others have PyTorch's default (SGD: 0.01). Teacher and OOD
    head are left out.
    """
    config = msgspec.structs.replace(recipe.gradient_descent, curve_every=0, teacher=None, ood_head=None)
    if parameter == "optimisers":
        own = {type(config.optimiser): config.optimiser}
        defaults: tuple[Optimiser, ...] = (SGD(0.01), Adagrad(), Adam(), AdamW(), Adamax(), RMSprop())
        for optimiser in (own.get(type(default), default) for default in defaults):
            title = f"{type(optimiser).__name__} (learning rate {optimiser.learning_rate:g})"
            yield title, msgspec.structs.replace(config, optimiser=optimiser)
        return
    for batch_size in sorted({1, 12, 128, rows}):
        if batch_size <= rows:
            kind = {1: "stochastic", rows: "full batch"}.get(batch_size, "mini-batch")
            yield f"{kind} (batch size {batch_size})", msgspec.structs.replace(config, batch_size=batch_size)


def compare(
    parameter: str, recipe: Recipe, dataset: Dataset, rows: int, epochs: int, progress: Progress
) -> Iterator[Run]:
    """Train the recipe's network with each variant, from the same seed, on as many rows and for as many epochs.

    All variants use automatic differentiation, so that their times can be compared. A variant that `validate_recipe`
    rejects is left out, with a message. Raises `TrainingError` if there are too few rows, `BadRecipe` for fixed weights
    or if no variant is left, and `Diverged`.
    """
    train, validation = split_training_data(dataset, rows, recipe.seed)
    if len(validation.targets) < MIN_VALIDATION_ROWS:
        raise TrainingError(
            f"{recipe.name}: a sixth of {len(train.targets) + len(validation.targets)} rows is too few for a "
            f"comparison: at least {6 * MIN_VALIDATION_ROWS} are needed"
        )
    valid = _valid_variants(parameter, recipe, dataset, train, progress)
    inputs = with_artifacts(train.inputs, recipe.gradient_descent.distortion, recipe.seed, progress)
    train = Split(inputs, train.targets)
    for title, config in valid.items():
        training = msgspec.structs.replace(config, epochs=epochs)
        variant = msgspec.structs.replace(recipe, name=f"{recipe.name}, {title}", training=training)
        progress.start_network(variant, recipe.seed, verbose=False)
        network, curve = fit_from_seed(variant, train, recipe.seed, torch.device("cpu"), progress, autograd_step)
        yield Run(title, curve, evaluate(network, recipe, validation)[recipe.acceptance.metric])


def _valid_variants(
    parameter: str, recipe: Recipe, dataset: Dataset, train: Split, progress: Progress
) -> dict[str, GradientDescent]:
    """The variants that `validate_recipe` accepts, by title; raises `BadRecipe` if there are none."""
    valid, reasons = {}, []
    for title, config in variants(parameter, recipe, len(train.targets)):
        try:
            plain = msgspec.structs.replace(recipe, training=config, validation_rows=0, sweep_seeds=0)
            validate_recipe(plain, dataset, train)
        except BadRecipe as error:
            reasons.append(str(error))
            progress.left_out(title, str(error))
        else:
            valid[title] = config
    if not valid:
        raise BadRecipe(reasons[0])
    return valid
