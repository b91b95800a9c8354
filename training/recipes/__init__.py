"""Every recipe by its name: each value of the modules here that is one, in the order of the lectures."""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from training.errors import BadRecipe
from training.recipes.recipe import Recipe


def collected(modules: Iterable[ModuleType]) -> dict[str, Recipe]:
    """The recipes of these modules, those of a lecture first; raises `BadRecipe` where two share a name."""
    found: dict[str, Recipe] = {}
    for module in modules:
        for recipe in (value for value in vars(module).values() if isinstance(value, Recipe)):
            if recipe.name in found:
                raise BadRecipe(f"two recipes are named {recipe.name!r}; one is in {module.__name__}")
            found[recipe.name] = recipe
    ordered = sorted(found.values(), key=lambda recipe: recipe.lecture.row if recipe.lecture else 99)
    return {recipe.name: recipe for recipe in ordered}


RECIPES = collected(importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
