"""Is a recipe sound, and do it and its data set fit together? Asked before anything is trained."""

import itertools

import msgspec

from service.bundle.manifest import NAME
from training.datasets import Dataset, Split
from training.errors import BadRecipe
from training.recipes.recipe import Adagrad, ByHand, Descent, Recipe


def check(recipe: Recipe, dataset: Dataset, data: Split) -> None:
    """Raise `BadRecipe` for a field that cannot be, or that does not fit the data set, saying what would."""
    try:
        msgspec.convert(msgspec.to_builtins(recipe), Recipe)
    except msgspec.ValidationError as error:
        raise BadRecipe(f"recipe {recipe.name}: {error}") from None
    classes, values, inputs = len(dataset.labels), len(dataset.targets(data)), data.inputs[0].numel()
    fitting = ("regression",) if values else ("binary", "multiclass") if classes == 2 else ("multiclass",)
    outputs = {"binary": 1, "multiclass": classes, "regression": values}[recipe.task]
    wrong = [
        (not NAME.fullmatch(recipe.name), "a name is of lower-case letters, digits, . _ -"),
        (recipe.task not in fitting, f"task {recipe.task!r}: {dataset.name} is for {' or '.join(fitting)}"),
        (recipe.takes_images != (data.inputs.dim() == 3), f"scaling {recipe.scaling!r} is not for {dataset.name}"),
        (
            (recipe.layers[0], recipe.layers[-1]) != (inputs, outputs),
            f"layers {recipe.layers}: {dataset.name} has {inputs} inputs, and this task {outputs} output(s)",
        ),
        (
            (recipe.bar.metric == "r2") != (recipe.task == "regression"),
            f"bar {recipe.bar.metric!r}: a regression is judged by r2, a classifier by accuracy",
        ),
        (not _by_hand_fits(recipe), f"the weights set by hand are not those of layers {recipe.layers}"),
        (_needs_images(recipe) and not recipe.takes_images, f"distortion, teacher: {dataset.name} holds no images"),
        (recipe.background and dataset.name != "mnist", f"background: for mnist, not for {dataset.name}"),
        (recipe.background and not recipe.validation, "background: its threshold is found on validation rows"),
        (recipe.background and recipe.descent.dropout, "background: it sees hidden layers, and none of them silenced"),
        (recipe.validation >= len(data.targets), f"validation {recipe.validation} of {len(data.targets)} rows"),
        (
            recipe.validation and (recipe.task != "multiclass" or isinstance(recipe.fit, ByHand) or recipe.trials),
            "validation: for classes that are learned by gradient descent, one network at a time",
        ),
        (not _cycle_fits(recipe), "schedule 'one-cycle': its momentum goes down and up, and Adagrad has none"),
        (not _normalises(recipe, data), "batch_norm: its mini-batches, the last one too, must have two rows or more"),
        (not _trials_fit(recipe, data), "trials: as one batch, only classifiers are trained, on all rows at each step"),
    ]
    for is_wrong, message in wrong:
        if is_wrong:
            raise BadRecipe(f"recipe {recipe.name}: {message}")


def _by_hand_fits(recipe: Recipe) -> bool:
    """Each layer has as many neurons as units, and each neuron a weight for each input, and a bias."""
    if not isinstance(recipe.fit, ByHand):
        return True
    expected = [[inputs + 1] * units for inputs, units in itertools.pairwise(recipe.layers)]
    return [[len(neuron) for neuron in layer] for layer in recipe.fit.neurons] == expected


def _needs_images(recipe: Recipe) -> bool:
    """Only images are distorted, and only from images does a teacher learn."""
    return isinstance(recipe.fit, Descent) and (recipe.fit.distortion or recipe.fit.teacher) is not None


def _cycle_fits(recipe: Recipe) -> bool:
    fit = recipe.fit
    return isinstance(fit, ByHand) or fit.schedule == "constant" or not isinstance(fit.optimiser, Adagrad)


def _normalises(recipe: Recipe, data: Split) -> bool:
    if isinstance(recipe.fit, ByHand) or not recipe.fit.batch_norm:
        return True
    rows = len(data.targets) - recipe.validation
    batch = recipe.fit.batch
    return min(rows, batch) > 1 and rows % batch != 1


def _trials_fit(recipe: Recipe, data: Split) -> bool:
    if not recipe.trials:
        return True
    if isinstance(recipe.fit, ByHand) or recipe.task == "regression":
        return False
    return recipe.fit.batch >= len(data.targets) and not (recipe.fit.dropout or recipe.fit.batch_norm)
