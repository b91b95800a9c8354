"""From a training result to a bundle: written to a temporary folder, verified, and then renamed into `models/`.

The temporary folder is beside `models/`, so an interruption leaves nothing half-written there.
"""

import contextlib
import dataclasses
import datetime as dt
import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from service.bundle.loading import sha256
from service.bundle.manifest import (
    CURVE,
    FORMAT,
    GOLDEN,
    MANIFEST,
    ONNX,
    REPORT,
    TORCHSCRIPT,
    Bundle,
    DataSource,
)
from service.images.normaliser import NORMALISER
from training.bundles.baseline import baseline_statistics, image_feature_ranges
from training.bundles.golden_examples import golden_examples
from training.bundles.model_files import export_onnx, export_torchscript, signature_of
from training.bundles.verify import BatchComparison, verify
from training.datasets.dataset import Dataset, checksum
from training.learning.curve import downsample_curve
from training.learning.train import TrainingResult
from training.recipes.recipe import Recipe
from training.report.page import Report

LIBRARIES = ("torch", "torchvision", "onnx", "onnxscript", "numpy", "scikit-learn")


def export(
    recipe: Recipe, result: TrainingResult, dataset: Dataset, models_dir: Path
) -> tuple[Path, list[BatchComparison]]:
    """Write the next version of the recipe's bundle; return its folder and the comparisons of its verification.

    Raises `VerificationFailed`, and writes nothing, if a file does not compute what the network computes.
    """
    with staging_directory(models_dir) as staging:
        version = next_version(models_dir / recipe.name)
        folder = staging / recipe.name / str(version)
        folder.mkdir(parents=True)
        write_bundle(folder, recipe, result, dataset)
        comparisons = verify(folder, result.network)
        target = models_dir / recipe.name / folder.name
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
    return target, comparisons


def write_bundle(folder: Path, recipe: Recipe, result: TrainingResult, dataset: Dataset) -> Bundle:
    """Write all files of a bundle to a folder `<name>/<version>`; return the manifest."""
    network = result.network.cpu().eval()
    signature = signature_of(recipe)
    features, targets = dataset.feature_columns(result.train), dataset.target_columns(result.train)
    export_onnx(network, signature, folder / ONNX)
    export_torchscript(network, folder / TORCHSCRIPT)
    (folder / GOLDEN).write_bytes(
        msgspec.json.encode(golden_examples(network, signature, features, targets, samples=not recipe.is_of_own_data))
    )
    result = dataclasses.replace(result, curve=downsample_curve(result.curve))
    (folder / CURVE).write_bytes(msgspec.json.encode(result.curve))
    digits = recipe.preprocess is None or recipe.preprocess.method == "digit"
    histograms, label_fractions = baseline_statistics(network, dataset, result.train, digits=digits)
    report = Report(folder.name, recipe, result, dataset)
    (folder / REPORT).write_bytes(report.html(report.sections()))
    bundle = Bundle(
        format=FORMAT,
        name=recipe.name,
        version=folder.name,
        task=recipe.task,
        signature=signature,
        labels=dataset.labels,
        features=features,
        targets=targets,
        normaliser=NORMALISER if recipe.preprocess and recipe.preprocess.method == "digit" else None,
        preprocess=recipe.preprocess,
        image_features=() if features else image_feature_ranges(result.train.inputs.numpy(), digits=digits),
        abstention=result.abstention,
        baseline=histograms,
        label_fractions=label_fractions,
        files={name: sha256((folder / name).read_bytes()) for name in (ONNX, TORCHSCRIPT, GOLDEN, CURVE, REPORT)},
        recipe=msgspec.to_builtins(recipe),
        seed=result.seed,
        data=_data_source(dataset, result),
        metrics=result.metrics,
        libraries={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in LIBRARIES},
        created=dt.datetime.now(dt.UTC).date().isoformat(),
    )
    manifest = msgspec.json.format(msgspec.json.encode(bundle), indent=2)
    (folder / MANIFEST).write_bytes(manifest + b"\n")
    return bundle


def _data_source(dataset: Dataset, result: TrainingResult) -> DataSource:
    held_out = [result.held_out] if result.held_out else []
    return DataSource(
        name=dataset.name,
        source=dataset.source,
        licence=dataset.licence,
        checksum=checksum(result.train, *held_out),
        train_rows=len(result.train.targets),
        held_out_rows=sum(len(split.targets) for split in held_out),
    )


def next_version(folder: Path) -> int:
    """The version after the highest one in a model's folder."""
    versions = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    return max(versions, default=0) + 1


def check_writable(models_dir: Path) -> None:
    """Raise `OSError` if no bundle could be written to this folder, which is made if it is missing."""
    with staging_directory(models_dir):
        pass


@contextlib.contextmanager
def staging_directory(models_dir: Path) -> Iterator[Path]:
    """A temporary folder on the file system of `models/`: beside it, or hidden in it if it is a mount of its own."""
    models_dir.mkdir(parents=True, exist_ok=True)
    parent = models_dir.absolute().parent
    if models_dir.is_mount() or not os.access(parent, os.W_OK):
        parent = models_dir
    staging = Path(tempfile.mkdtemp(prefix=".digitalis-", dir=parent))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
