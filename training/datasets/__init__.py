"""Data sets: training data, and held-out data that is only read when it is asked for.

Inputs are as a client sends them (pixels 0 to 255, centimetres); the network scales them itself.

    dataset          the protocol of a data set, its splits and their checksum
    mnist            handwritten digits, downloaded by torchvision
    hands            handwritten digits of other countries, with their writers
    digits           all of these as one data set
    sklearn_tables   tables that scikit-learn includes: irises, tumours, wines, diabetes, exercises
    toy              tables of a few rows: truth tables, points on a line, hours of study
    synthetic        noisy points in the plane, sampled from a seed
    stratified       rows of the user's own data, split by a seed
"""

from collections.abc import Callable
from pathlib import Path

from training.datasets.dataset import Dataset
from training.errors import BadRecipe
from training.recipes.recipe import Recipe


def open_data(recipe: Recipe, data_dir: Path) -> Dataset:
    """The data of a recipe: its table or pictures, or the data set of this repository that it names."""
    if recipe.table:
        from training.tables.table_dataset import TableDataset

        return TableDataset(recipe, recipe.table)
    if recipe.pictures:
        from training.pictures.picture_dataset import PictureDataset

        return PictureDataset(recipe, recipe.pictures)
    return open_dataset(recipe.dataset, data_dir)


def open_dataset(name: str, data_dir: Path) -> Dataset:
    """The data set of this name. Handwritten digits are read from `data_dir`, or downloaded to it; tables ignore it.

    Raises `BadRecipe` for an unknown name.
    """
    # Imported here, because torchvision and scikit-learn take seconds, and `Split` alone needs neither.
    from training.datasets import digits, hands, mnist, sklearn_tables, synthetic, toy

    if name == "mnist":
        return mnist.Mnist(data_dir)
    if name == "digits":
        return digits.Digits(data_dir)
    if name in hands.DATASETS:
        return hands.DATASETS[name](data_dir)
    openers: dict[str, Callable[[], Dataset]] = {**sklearn_tables.DATASETS, **toy.DATASETS, **synthetic.DATASETS}
    if name not in openers:
        raise BadRecipe(f"no data set {name!r}: there are {', '.join(('mnist', *openers, 'digits', *hands.DATASETS))}")
    return openers[name]()
