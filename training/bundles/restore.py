"""From a bundle back to the training result that it was written from."""

import difflib
import io
import warnings
from pathlib import Path

import msgspec
import torch

from service.bundle.loading import Contents, load_bundle
from service.bundle.manifest import CURVE, TORCHSCRIPT, Bundle
from service.errors import BundleError
from training.datasets import open_data
from training.datasets.dataset import Dataset, checksum
from training.errors import DataUnavailable, TrainingError, VerificationFailed
from training.learning.curve import CurvePoint
from training.learning.train import TrainingResult
from training.networks.network import Network, build
from training.recipes import RECIPES
from training.recipes.recipe import Recipe


def latest_bundle(name: str, models_dir: Path) -> tuple[Bundle, Contents]:
    """The highest version of a recipe's bundle; raises `TrainingError` if there is none or it is damaged."""
    folders = [path for path in (models_dir / name).glob("*") if path.name.isdecimal()]
    if not folders:
        close = difflib.get_close_matches(name, [path.name for path in models_dir.glob("*")] + list(RECIPES), n=1)
        hint = f"did you mean {close[0]}?" if close and close[0] != name else f"`digitalis train {name}` makes one"
        raise TrainingError(f"no bundle of {name} in {models_dir.absolute()}: {hint}")
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

    Raises `DataUnavailable` if the data is not the data that the bundle was made from, and `TrainingError` if it has no
    recipe that can be read.
    """
    if bundle.data is None:
        raise TrainingError(f"{bundle.id} was imported: it has no recipe and no data")
    try:
        recipe = msgspec.convert(bundle.recipe, Recipe)
    except msgspec.ValidationError as error:
        raise TrainingError(f"{bundle.id}: its recipe cannot be read: {error}: train it again") from error
    dataset = open_data(recipe, data_dir)
    train, held_out = dataset.train(bundle.seed), dataset.held_out(bundle.seed)
    found = checksum(train, *([held_out] if held_out else []))
    if found != bundle.data.checksum:
        raise DataUnavailable(f"{recipe.dataset} is not the data of {bundle.id}: its checksum differs")
    network, curve = rebuild(bundle, contents).eval(), read_curve(contents)
    result = TrainingResult(network, bundle.seed, train, held_out, curve, bundle.metrics, bundle.abstention)
    return recipe, result, dataset


def rebuild(bundle: Bundle, contents: Contents) -> Network:
    """The network of the manifest's recipe, with the weights of `model.pt`; raises `VerificationFailed`."""
    network = build(msgspec.convert(bundle.recipe, Recipe))
    try:
        network.load_state_dict(torchscript_weights(contents))
    except RuntimeError as error:
        raise VerificationFailed(f"{TORCHSCRIPT}: not the network of its recipe: {error}") from error
    return network


def torchscript_weights(contents: Contents) -> dict[str, torch.Tensor]:
    """The state dict of `model.pt`."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        weights: dict[str, torch.Tensor] = torch.jit.load(
            io.BytesIO(contents[TORCHSCRIPT]), map_location="cpu"
        ).state_dict()
    return weights
