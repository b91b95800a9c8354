"""A bundle at rest, back as what it was when it had just been trained."""

from pathlib import Path

import msgspec

from service.bundle.manifest import CURVE, Bundle, Contents, load_bundle
from service.errors import BundleError
from training.bundles.verify import rebuild
from training.datasets import Dataset, checksum, open_dataset
from training.errors import DataUnavailable, TrainingError
from training.learning.train import Trained
from training.progress import Point
from training.recipes.recipe import Recipe


def newest(name: str, models_dir: Path) -> tuple[Bundle, Contents]:
    """The newest bundle of a recipe; raises `TrainingError` where there is none or it is damaged."""
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
        raise TrainingError(f"{bundle.title} holds no {CURVE}: train {name} again")
    return bundle, contents


def curve_of(contents: Contents) -> list[Point]:
    """The learning curve, as it was thinned for the bundle."""
    return msgspec.json.decode(contents[CURVE], type=list[Point])


def reopen(bundle: Bundle, contents: Contents, data_dir: Path) -> tuple[Recipe, Trained, Dataset]:
    """The recipe, the network with the data that it saw and did not see, and the data set.

    Raises `DataUnavailable` where the data is no longer what the bundle was made from.
    """
    try:
        recipe = msgspec.convert(bundle.recipe, Recipe)
    except msgspec.ValidationError as error:
        raise TrainingError(f"{bundle.title}: its recipe cannot be read: {error}: train it again") from error
    dataset = open_dataset(recipe.dataset, data_dir)
    train, held_out = dataset.train(bundle.seed), dataset.held_out(bundle.seed)
    found = checksum(train, *([held_out] if held_out else []))
    if found != bundle.data.checksum:
        raise DataUnavailable(f"{recipe.dataset} is not the data of {bundle.title}: its checksum differs")
    network = rebuild(bundle, contents).eval()
    return (
        recipe,
        Trained(network, bundle.seed, train, held_out, curve_of(contents), bundle.metrics, bundle.abstention),
        dataset,
    )
