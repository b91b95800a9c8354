"""Arguments that several commands of `python -m training` have, the types of their values, and what they stand for."""

import argparse
import difflib
from collections.abc import Callable
from pathlib import Path

import msgspec

from service.bundle.loading import NAME
from service.settings import Settings
from training.recipes import RECIPES
from training.recipes.recipe import Recipe
from training.segmenter.recipe import SEGMENTER

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
NAMES_HELP = "`list` shows the names"


def add_recipes(command: argparse.ArgumentParser, *, allow_all: bool, allow_segmenter: bool = False) -> None:
    """The names of recipes; `all` and `segmenter` too, if they are allowed."""
    extra = {"all"} if allow_all else set()
    parse = name_parser(extra | ({SEGMENTER.name} if allow_segmenter else set()))
    help_ = f"{'all, or ' if allow_all else ''}one or more names: {NAMES_HELP}"
    command.add_argument("recipes", nargs="+", metavar="RECIPE", type=parse, help=help_)


def add_target(command: argparse.ArgumentParser) -> None:
    """What is predicted from a table."""
    command.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="COLUMN",
        help="the column of the table that is predicted; several times for several values",
    )
    tasks = ("classification", "regression")
    command.add_argument("--task", choices=tasks, help="of a table (default: by what is in its target)")
    name_help = "of the bundle of a table or of pictures (default: the name of the file or folder)"
    command.add_argument("--name", type=bundle_name, help=name_help)


def add_pictures(command: argparse.ArgumentParser) -> None:
    """What the network gets of pictures."""
    add_preprocess(command)
    command.add_argument("--side", type=positive_integer, metavar="PIXELS", help="of that square (default: 28)")
    command.add_argument("--colour", action="store_true", help="pictures in colour (default: grey)")


def add_preprocess(command: argparse.ArgumentParser) -> None:
    """How pictures become images."""
    methods = ("fit", "digit", "none")
    preprocess_help = (
        "of pictures: fit (default) scales them into a square, digit finds the ink of one digit, none takes those that "
        "have the size already"
    )
    command.add_argument("--preprocess", choices=methods, help=preprocess_help)
    ink_help = "of grey pictures: inverted where their ink is light, or dark (default: kept as it is)"
    command.add_argument("--ink", choices=("kept", "dark", "light"), help=ink_help)


def add_out(command: argparse.ArgumentParser) -> None:
    """`--out`: where pages and pictures are written."""
    help_ = "where to write pages and pictures, in one folder for each recipe (default: %(default)s)"
    command.add_argument("--out", type=Path, default=Path("reports"), metavar="FOLDER", help=help_)


def add_data_dir(command: argparse.ArgumentParser, settings: Settings) -> None:
    """`--data-dir`: where data sets lie."""
    help_ = "the folder that holds MNIST/raw/, or that MNIST is downloaded to (default: %(default)s)"
    command.add_argument("--data-dir", type=Path, default=settings.data_dir, metavar="FOLDER", help=help_)


def add_models_dir(command: argparse.ArgumentParser, settings: Settings) -> None:
    """`--models-dir`: where bundles lie."""
    help_ = "the folder of the bundles (default: %(default)s)"
    names, default = ("--models", "--models-dir"), settings.models_dir
    command.add_argument(*names, dest="models_dir", type=Path, default=default, metavar="FOLDER", help=help_)


def recipe_name(name: str) -> str:
    """An argparse type: the name of a recipe."""
    if name in RECIPES:
        return name
    close = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise argparse.ArgumentTypeError(f"no recipe {name!r}: {hint}{NAMES_HELP}")


def bundle_name(text: str) -> str:
    """An argparse type: a name that a bundle may have."""
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected lower-case letters, digits, and . _ - between them")
    return text


def is_table(text: str) -> bool:
    """Whether a recipe's argument is the path of a table."""
    return text.lower().endswith(TABLE_SUFFIXES)


def is_own_data(text: str) -> bool:
    """Whether a recipe's argument is the path of a table, or of a folder of pictures."""
    return is_table(text) or (Path(text).is_dir() and text not in RECIPES)


def is_file(text: str) -> bool:
    """Whether a recipe's argument is the path of a file: a table, or a recipe as TOML."""
    return is_table(text) or text.lower().endswith(".toml")


def recipe_or_file(text: str) -> str:
    """An argparse type: a recipe's name, `all`, `segmenter`, or an existing file."""
    if is_own_data(text) and not is_table(text):
        return text
    if is_file(text):
        if not Path(text).is_file():
            raise argparse.ArgumentTypeError(f"{text}: no such file")
        return text
    if Path(text).suffix or (Path(text).exists() and text not in RECIPES):
        suffixes = ", ".join((*TABLE_SUFFIXES, ".toml"))
        message = (
            f"{text} is neither a table nor a recipe file, whose names end in {suffixes}, nor a folder of pictures"
        )
        raise argparse.ArgumentTypeError(message)
    return name_parser({"all", SEGMENTER.name})(text)


def recipe_or_recipe_file(text: str) -> str:
    """An argparse type: a recipe's name, `segmenter`, or an existing file with a recipe."""
    if is_own_data(text):
        target = " --target COLUMN" if is_table(text) else ""
        raise argparse.ArgumentTypeError(f"{text} is no recipe: `init {text}{target}` shows one for it")
    return recipe_or_file(text) if is_file(text) else name_parser({SEGMENTER.name})(text)


def open_recipe(name: str) -> Recipe:
    """The recipe of this name, or in this file; raises `BadRecipe` with the line of a mistake."""
    if name in RECIPES:
        return RECIPES[name]
    from training.recipes.recipe_file import read_recipe

    return read_recipe(Path(name))


def name_parser(others: set[str]) -> Callable[[str], str]:
    """An argparse type: a recipe's name, or one of these others."""
    return lambda name: name if name in others else recipe_name(name)


def integer(text: str, minimum: int = 0) -> int:
    """An argparse type: a whole number."""
    if not (text.isascii() and text.isdecimal() and minimum <= int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {minimum} to {2**32 - 1}")
    return int(text)


def positive_integer(text: str) -> int:
    """An argparse type: a whole number from 1."""
    return integer(text, minimum=1)


def expand_names(names: list[str]) -> list[str]:
    """The names without repetitions; `all` stands for every recipe."""
    return list(RECIPES) if "all" in names else list(dict.fromkeys(names))


def with_overrides(recipe: Recipe, seed: int | None, epochs: int | None) -> Recipe:
    """The recipe with another seed and another number of epochs, where they are given."""
    if seed is not None:
        recipe = msgspec.structs.replace(recipe, seed=seed)
    if epochs is not None:
        training = msgspec.structs.replace(recipe.gradient_descent, epochs=epochs)
        recipe = msgspec.structs.replace(recipe, training=training)
    return recipe
