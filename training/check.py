"""Do a recipe and its data set fit together? Asked before anything is trained."""

import itertools

from training.datasets import Dataset, Split
from training.errors import BadRecipe
from training.recipes.definition import ByHand, Recipe


def check(recipe: Recipe, dataset: Dataset, data: Split) -> None:
    """Raise `BadRecipe` where the recipe and its data set do not fit together, saying what would."""
    classes, values = len(dataset.labels), len(dataset.targets(data))
    tasks_of_it = ("regression",) if values else ("binary", "multiclass") if classes == 2 else ("multiclass",)
    outputs = {"binary": 1, "multiclass": classes, "regression": values}[recipe.task]
    inputs = data.inputs[0].numel()
    hand = recipe.fit.neurons if isinstance(recipe.fit, ByHand) else ()
    shapes = tuple((len(layer), *{len(neuron) - 1 for neuron in layer}) for layer in hand)
    wrong = [
        (recipe.task not in tasks_of_it, f"task {recipe.task!r}: {dataset.name} is for {' or '.join(tasks_of_it)}"),
        (recipe.takes_images != (data.inputs.dim() == 3), f"scaling {recipe.scaling!r} is not for {dataset.name}"),
        (
            (recipe.layers[0], recipe.layers[-1]) != (inputs, outputs),
            f"layers {recipe.layers}: {dataset.name} has {inputs} inputs, and this task {outputs} output(s)",
        ),
        (
            hand and shapes != tuple((b, a) for a, b in itertools.pairwise(recipe.layers)),
            f"weights set by hand are of layers of (neurons, weights each) {shapes}: not those of {recipe.layers}",
        ),
        (
            (recipe.bar.metric == "r2") != (recipe.task == "regression"),
            f"bar {recipe.bar.metric!r}: a regression is judged by r2, a classifier by accuracy",
        ),
    ]
    for is_wrong, message in wrong:
        if is_wrong:
            raise BadRecipe(f"recipe {recipe.name}: {message}")
