"""From a bundle back to the training result that it was written from."""

from pathlib import Path

import msgspec

from service.bundle.loading import Contents, load_bundle
from service.bundle.manifest import CURVE, Bundle
from service.errors import BundleError
from training.bundles.verify import rebuild
from training.datasets import Dataset, checksum, open_dataset
from training.errors import DataUnavailable, TrainingError
from training.learning.curve import CurvePoint
from training.learning.train import TrainingResult
from training.recipes.recipe import Recipe


def latest_bundle(name: str, models_dir: Path) -> tuple[Bundle, Contents]:
    """The highest version of a recipe's bundle; raises `TrainingError` if there is none or it is damaged."""
    folders = [path for path in (models_dir / name).glob("*") if path.name.isdecimal()]
    if not folders:
        raise TrainingError(
            f"no bundle of {name} in {models_dir.absolute()}: `python -m training train {name}` makes one"
        )
    try:
        bundle, contents = load_bundle(max(folders, key=lambda path: int(path.name)))
    except BundleError as error:
        raise TrainingError(str(error)) from error
    if CURVE not in contents:
        raise TrainingError(f"{bundle.id} holds no {CURVE}: train {name} again")
    return bundle, contents


def read_curve(contents: Contents) -> list[CurvePoint]:
    """The learning curve, downsampled when the bundle was written."""
    return msgspec.json.decode(contents[CURVE], type=list[CurvePoint])


def restore(bundle: Bundle, contents: Contents, data_dir: Path) -> tuple[Recipe, TrainingResult, Dataset]:
    """The recipe, the training result with its data, and the data set.

    Raises `DataUnavailable` if the data is not the data that the bundle was made from, and `TrainingError` if its
    recipe cannot be read.
    """
    try:
        recipe = msgspec.convert(bundle.recipe, Recipe)
    except msgspec.ValidationError as error:
        raise TrainingError(f"{bundle.id}: its recipe cannot be read: {error}: train it again") from error
    dataset = open_dataset(recipe.dataset, data_dir)
    train, held_out = dataset.train(bundle.seed), dataset.held_out(bundle.seed)
    found = checksum(train, *([held_out] if held_out else []))
    if found != bundle.data.checksum:
        raise DataUnavailable(f"{recipe.dataset} is not the data of {bundle.id}: its checksum differs")
    network, curve = rebuild(bundle, contents).eval(), read_curve(contents)
    result = TrainingResult(network, bundle.seed, train, held_out, curve, bundle.metrics, bundle.abstention)
    return recipe, result, dataset
