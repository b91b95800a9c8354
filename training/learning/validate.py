"""Checks of a recipe before training: its fields are valid, agree with each other, and fit the data set."""

import itertools
from collections.abc import Iterator

import msgspec

from service.bundle.loading import NAME
from service.bundle.manifest import Task
from training.datasets.dataset import Dataset, Split
from training.errors import BadRecipe
from training.networks.mixture import UNITS
from training.recipes.gradient_descent import Adagrad, GradientDescent, Optimiser
from training.recipes.recipe import FixedWeights, Recipe

MAX_STAGES, STAGES_OF_OOD_HEAD = 5, 3  # of convolutions
DIGITS = tuple("0123456789")  # the labels of digits
NOT_IN_A_SWEEP = "dropout", "batch_norm", "schedule", "precision", "distortion", "teacher", "ood_head"
"""Options that `learning.seed_sweep` does not implement: they keep their defaults."""

Problem = tuple[object, str]  # truthy if the recipe has it, and the message that says so


def validate_recipe(recipe: Recipe, dataset: Dataset, train: Split) -> None:
    """Raise `BadRecipe` for the first field that is invalid or does not fit the data set; the message says why."""
    try:
        msgspec.convert(msgspec.to_builtins(recipe), Recipe)
    except msgspec.ValidationError as error:
        raise BadRecipe(f"recipe {recipe.name}: {error}") from None
    checks = itertools.chain(
        _dataset_checks(recipe, dataset, train), _training_checks(recipe, dataset), _row_checks(recipe, train)
    )
    for is_wrong, message in checks:
        if is_wrong:
            raise BadRecipe(f"recipe {recipe.name}: {message}")


def _dataset_checks(recipe: Recipe, dataset: Dataset, train: Split) -> Iterator[Problem]:
    """Name, task, layers, scaling and metric, against the data set."""
    classes, values = len(dataset.labels), len(dataset.target_columns(train))
    inputs = recipe.table.encoded_inputs if recipe.table else train.inputs[0].numel()
    fitting: tuple[Task, ...] = ("binary", "multiclass") if classes == 2 else ("multiclass",)
    if values:
        fitting = ("regression", "mixture") if values == 1 else ("regression",)
    gaussians = max(1, recipe.layers[-1] // UNITS)
    outputs = {"binary": 1, "multiclass": classes, "regression": values, "mixture": UNITS * gaussians}[recipe.task]
    yield not NAME.fullmatch(recipe.name), "a name consists of lower-case letters, digits, . _ -"
    of_table = f" (its labels are {classes} classes; a regression has labels = [])" if recipe.table and classes else ""
    yield recipe.task not in fitting, f"task {recipe.task!r}: {dataset.name} needs {' or '.join(fitting)}{of_table}"
    images = train.inputs.dim() > 2
    kind = "images" if images else "vectors"
    yield (
        recipe.takes_images != images,
        f"scaling {recipe.scaling!r} does not fit {dataset.name}: its inputs are {kind}",
    )
    expected = f"{dataset.name} has {inputs} inputs, and this task needs {outputs} output unit(s)"
    yield (recipe.layers[0], recipe.layers[-1]) != (inputs, outputs), f"layers {recipe.layers}: {expected}"
    metric = recipe.acceptance.metric
    of_task = {"regression": "r2", "mixture": "log_likelihood"}.get(recipe.task, "accuracy")
    yield not metric.endswith(of_task), f"acceptance metric {metric!r}: a {recipe.task} task is evaluated by {of_task}"


def _training_checks(recipe: Recipe, dataset: Dataset) -> Iterator[Problem]:
    """How the weights are found, against the other fields."""
    yield not _fixed_weights_fit(recipe), f"the fixed weights do not have the shapes of layers {recipe.layers}"
    needs_images = _needs_images(recipe) and (not recipe.takes_images or recipe.pictures)
    yield needs_images, f"convolutions, distortion and teacher are for images of digits, and {dataset.name} has none"
    of_digits = dataset.labels == DIGITS and recipe.takes_images and not recipe.pictures
    yield recipe.ood_head and not of_digits, f"ood_head is for images of digits, and {dataset.name} has none"
    yield recipe.ood_head and not recipe.validation_rows, "ood_head needs validation_rows, to choose its threshold"
    dropout = recipe.ood_head and recipe.gradient_descent.dropout
    yield dropout, "ood_head cannot be combined with dropout: it reads the hidden activations"
    yield from _convolution_checks(recipe)
    yield recipe.ood_head and not recipe.hidden_units, "ood_head needs a hidden layer, whose activations it reads"
    yield from _stopping_and_weight_checks(recipe, dataset)
    for trained, optimiser in _one_cycle_optimisers(recipe):
        message = f"{trained}schedule 'one-cycle' cycles the momentum too, and Adagrad has none"
        yield isinstance(optimiser, Adagrad), message


def _convolution_checks(recipe: Recipe) -> Iterator[Problem]:
    """The stages of convolutions, against the other fields."""
    fixed = bool(recipe.convolutions) and isinstance(recipe.training, FixedWeights)
    yield fixed, "convolutions are trained: they have no fixed weights"
    yield bool(recipe.convolutions) and recipe.activation != "relu", "convolutions have the activation relu, always"
    stages = len(recipe.convolutions)
    yield stages > MAX_STAGES, f"convolutions have at most {MAX_STAGES} stages, each of which halves the 28x28 places"
    three = recipe.ood_head and stages not in (0, STAGES_OF_OOD_HEAD)
    yield three, f"ood_head needs {STAGES_OF_OOD_HEAD} stages of convolutions, as it reads 3x3 places of the last"


def _stopping_and_weight_checks(recipe: Recipe, dataset: Dataset) -> Iterator[Problem]:
    """Early stopping, class weights and encoded columns, against the other fields."""
    if isinstance(recipe.training, GradientDescent):
        patience, weighted = recipe.training.patience, recipe.training.class_weights
        yield patience and not recipe.validation_rows, "patience needs validation_rows, whose loss it watches"
        yield weighted and not dataset.labels, "class_weights are for classifiers"
        yield weighted and recipe.training.teacher, "class_weights cannot be combined with a teacher"
    encoded = recipe.scaling == "encoded"
    yield encoded != (recipe.table is not None), "scaling 'encoded' is for a recipe with a table, and it needs that"


def _row_checks(recipe: Recipe, train: Split) -> Iterator[Problem]:
    """Numbers of rows: for validation, in a mini-batch, in a seed sweep."""
    rows = len(train.targets)
    yield recipe.validation_rows >= rows, f"validation_rows {recipe.validation_rows}: there are {rows} training rows"
    trained_alone = isinstance(recipe.training, GradientDescent) and not recipe.sweep_seeds
    yield (
        recipe.validation_rows and not trained_alone,
        "validation_rows are for recipes that use gradient descent and no sweep_seeds",
    )
    calibrated = recipe.takes_images and recipe.validation_rows and not recipe.pictures
    yield calibrated and recipe.task != "multiclass", "validation_rows of images are for multiclass recipes"
    yield not _batch_norm_fits(recipe, rows), "batch_norm needs two rows in every mini-batch, the last one included"
    yield (
        not _sweep_fits(recipe, rows),
        f"sweep_seeds needs a classifier that is trained in full batches, without {', '.join(NOT_IN_A_SWEEP)}",
    )


def _fixed_weights_fit(recipe: Recipe) -> bool:
    """Each layer has as many neurons as units, and each neuron one weight for each input, and a bias."""
    if not isinstance(recipe.training, FixedWeights):
        return True
    expected = [[inputs + 1] * units for inputs, units in itertools.pairwise(recipe.layers)]
    return [[len(neuron) for neuron in layer] for layer in recipe.training.neurons] == expected


def _needs_images(recipe: Recipe) -> bool:
    training = recipe.training
    by_training = isinstance(training, GradientDescent) and (training.distortion or training.teacher) is not None
    return bool(recipe.convolutions) or by_training


def _one_cycle_optimisers(recipe: Recipe) -> Iterator[tuple[str, Optimiser]]:
    """Every optimiser with a one-cycle schedule, after the start of a message that says whose schedule it is."""
    training = recipe.training
    if isinstance(training, FixedWeights):
        return
    if training.schedule == "one-cycle":
        yield "", training.optimiser
    if training.teacher:
        yield "teacher: its ", training.teacher.optimiser
    if training.ood_head:
        yield "ood_head: its ", training.ood_head.optimiser


def _batch_norm_fits(recipe: Recipe, rows: int) -> bool:
    if isinstance(recipe.training, FixedWeights) or not recipe.training.batch_norm:
        return True
    rows -= recipe.validation_rows
    batch_size = recipe.training.batch_size
    return min(rows, batch_size) > 1 and rows % batch_size != 1


def _sweep_fits(recipe: Recipe, rows: int) -> bool:
    if not recipe.sweep_seeds:
        return True
    if isinstance(recipe.training, FixedWeights) or recipe.task in ("regression", "mixture"):
        return False
    training = recipe.training
    defaults = GradientDescent(training.optimiser, training.batch_size, training.epochs)
    return training.batch_size >= rows and all(
        getattr(training, option) == getattr(defaults, option) for option in NOT_IN_A_SWEEP
    )
