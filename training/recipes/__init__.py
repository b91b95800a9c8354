"""All recipes by name: every `Recipe` that a module of this package defines, in the order of the lectures.

recipe              the fields of a recipe
gradient_descent    ... and of its training: optimiser, augmentation, distillation, OOD head
table               ... and of a table of one's own, in place of a data set of this repository
pictures            ... and of a folder of one's own pictures, likewise
proposal            what is chosen for both
recipe_file         a recipe as TOML: written with comments, read with the line of a mistake
points              linear regression through three points
gates               AND, OR and XOR
study_hours         exam results after hours of study
iris, versicolor    irises by small networks
plane               two classes of points in the plane, to show overfitting
arc                 a mixture density network: two answers to one input
tabular             one network for each kind of task, on scikit-learn's tables
mnist               handwritten digits
"""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from training.errors import BadRecipe
from training.recipes.recipe import Recipe


def collect(modules: Iterable[ModuleType]) -> dict[str, Recipe]:
    """The recipes of these modules by name, those of a lecture first; raises `BadRecipe` if two have the same name.

    A recipe that one module imports from another counts once.
    """
    recipes: dict[str, Recipe] = {}
    for module in modules:
        for recipe in (value for value in vars(module).values() if isinstance(value, Recipe)):
            if recipes.get(recipe.name, recipe) is not recipe:  # one recipe may be imported into several modules
                raise BadRecipe(f"two recipes are named {recipe.name!r}; one is in {module.__name__}")
            recipes[recipe.name] = recipe
    ordered = sorted(recipes.values(), key=lambda recipe: recipe.reference.row if recipe.reference else 99)
    return {recipe.name: recipe for recipe in ordered}


RECIPES = collect(importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
