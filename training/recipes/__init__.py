"""Every recipe by its name. A new one is a value in a module here and a line below."""

from training.recipes.definition import Recipe
from training.recipes.iris import IRIS
from training.recipes.mnist import MNIST_DEEP

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (IRIS, MNIST_DEEP)}
