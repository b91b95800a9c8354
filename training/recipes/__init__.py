"""Every recipe by its name: each value of the modules here that is one, in the order of the lectures."""

import importlib
import pkgutil

from training.recipes.definition import Recipe

_MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
_FOUND = [value for module in _MODULES for value in vars(module).values() if isinstance(value, Recipe)]

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in sorted(_FOUND, key=lambda recipe: recipe.lecture.row)}
