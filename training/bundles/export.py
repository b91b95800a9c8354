"""One network -> a bundle: ONNX, TorchScript, manifest and golden examples, verified, then renamed into `models/`.

Until the rename everything lies in a folder beside `models/`, so an interruption leaves nothing half-written there.
"""

import contextlib
import dataclasses
import datetime as dt
import importlib.metadata
import logging
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import torch

from service.bundle.golden import Golden
from service.bundle.manifest import (
    BACKGROUND,
    CURVE,
    FORMAT,
    GOLDEN,
    MANIFEST,
    ONNX,
    REPORT,
    TORCHSCRIPT,
    Bundle,
    DataSource,
    Feature,
    sha256,
)
from service.bundle.signature import Signature, TensorSpec
from service.images.decoding import Budget, decode_image
from service.images.normaliser import NORMALISER, normalise
from training.bundles.baseline import distributions
from training.bundles.verify import ROUNDING, Finding, random_inputs, spreads, verify
from training.datasets import Dataset, checksum
from training.learning.train import Trained
from training.networks.network import Network
from training.progress import Point
from training.recipes.recipe import Recipe
from training.report.page import Report

SAMPLES = Path(__file__).parent.parent.parent / "samples"
GOLDEN_TOLERANCE = 1e-4  # as `verify.TOLERANCE`, with room for what another device rounds differently
CURVE_POINTS = 100
LIBRARIES = ("torch", "torchvision", "onnx", "onnxscript", "numpy", "scikit-learn")


def export(recipe: Recipe, trained: Trained, dataset: Dataset, models_dir: Path) -> tuple[Path, list[Finding]]:
    """Write the next version of the recipe's bundle; return its folder and what verification found.

    Raises `VerificationFailed`, and writes nothing, when a file does not do what the network does.
    """
    with staging_beside(models_dir) as staging:
        version = _next_version(models_dir / recipe.name)
        folder = staging / recipe.name / str(version)
        folder.mkdir(parents=True)
        write(folder, recipe, trained, dataset)
        findings = verify(folder, trained.network)
        target = models_dir / recipe.name / folder.name
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
    return target, findings


def write(folder: Path, recipe: Recipe, trained: Trained, dataset: Dataset) -> Bundle:
    """Every file of a bundle, in a folder called `<name>/<version>`."""
    network = trained.network.cpu().eval()
    signature = signature_of(recipe)
    features, targets = dataset.features(trained.train), dataset.targets(trained.train)
    export_onnx(network, signature, folder / ONNX)
    export_torchscript(network, folder / TORCHSCRIPT)
    (folder / GOLDEN).write_bytes(msgspec.json.encode(golden_examples(network, signature, features, targets)))
    trained = dataclasses.replace(trained, curve=thinned(trained.curve))
    (folder / CURVE).write_bytes(msgspec.json.encode(trained.curve))
    spread, label_shares = distributions(network, dataset, trained.train)
    report = Report(folder.name, recipe, trained, dataset)
    (folder / REPORT).write_bytes(report.html(report.sections()))
    held_out = [trained.held_out] if trained.held_out else []
    bundle = Bundle(
        format=FORMAT,
        name=recipe.name,
        version=folder.name,
        task=recipe.task,
        signature=signature,
        labels=dataset.labels,
        features=features,
        targets=targets,
        normaliser=NORMALISER if recipe.takes_images else None,
        abstention=trained.abstention,
        distributions=spread,
        label_shares=tuple(label_shares),
        files={name: sha256((folder / name).read_bytes()) for name in (ONNX, TORCHSCRIPT, GOLDEN, CURVE, REPORT)},
        recipe=msgspec.to_builtins(recipe),
        seed=trained.seed,
        data=DataSource(
            name=dataset.name,
            source=dataset.source,
            licence=dataset.licence,
            checksum=checksum(trained.train, *held_out),
            train_rows=len(trained.train.targets),
            held_out_rows=sum(len(split.targets) for split in held_out),
        ),
        metrics=trained.metrics,
        libraries={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in LIBRARIES},
        created=dt.datetime.now(dt.UTC).date().isoformat(),
    )
    manifest = msgspec.json.format(msgspec.json.encode(bundle), indent=2)
    (folder / MANIFEST).write_bytes(manifest + b"\n")
    return bundle


def signature_of(recipe: Recipe) -> Signature:
    """What the exported graph takes and gives."""
    image = TensorSpec("image", "UINT8", (-1, 28, 28))
    features = TensorSpec("features", "FP32", (-1, recipe.layers[0]))
    values = TensorSpec("values", "FP32", (-1, recipe.layers[-1]))
    probabilities = TensorSpec("probabilities", "FP32", (-1, max(2, recipe.layers[-1])))
    outputs = (values,) if recipe.task == "regression" else (probabilities, BACKGROUND)[: 2 if recipe.background else 1]
    return Signature((image if recipe.takes_images else features,), outputs)


def export_onnx(network: Network, signature: Signature, path: Path) -> None:
    """Write the network as one ONNX file, weights inside, for batches of any size."""
    (spec,) = signature.inputs
    zeros = torch.from_numpy(signature.zeros()[spec.name])
    example = torch.cat([zeros, zeros])  # of two rows: one would be taken for a constant
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
        program: Any = torch.onnx.export(
            network,
            (example,),
            input_names=[spec.name],
            output_names=[output.name for output in signature.outputs],
            dynamic_shapes={spec.name: {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    _forget_where_it_was_made(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def export_torchscript(network: Network, path: Path) -> None:
    """Write the network as TorchScript. It is deprecated upstream, and asked for: see docs/decisions.md."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        torch.jit.save(torch.jit.script(network), str(path))


def golden_examples(
    network: Network, signature: Signature, features: tuple[Feature, ...], targets: tuple[Feature, ...]
) -> Golden:
    """A batch for every runtime to agree on: pictures from `samples/` where the network takes images, and noise."""
    (spec,) = signature.inputs
    rows = random_inputs(signature, features, rows=3, seed=0)[spec.name]
    if spec.datatype == "UINT8":
        drawn = [
            normalise(decode_image(path.read_bytes(), Budget(64_000_000)).grey)
            for path in sorted(SAMPLES.glob("*.png"))[:3]
        ]
        rows = np.stack([*drawn, *rows[:2]])
    with torch.inference_mode():
        found = network.outputs(torch.from_numpy(rows))
    outputs = {output.name: array for output, array in zip(signature.outputs, found, strict=True)}
    allowed = {
        name: GOLDEN_TOLERANCE * spreads(targets, array.shape[1]) + ROUNDING * array.abs().amax(dim=0).numpy()
        for name, array in outputs.items()
    }
    return Golden(
        tolerance={name: array.tolist() for name, array in allowed.items()},
        inputs={spec.name: rows.tolist()},
        outputs={name: array.tolist() for name, array in outputs.items()},
    )


def thinned(curve: list[Point]) -> list[Point]:
    """At most a hundred points of a learning curve, evenly spaced, the first and the last among them."""
    last = len(curve) - 1
    kept = curve if last < CURVE_POINTS else [curve[round(i * last / (CURVE_POINTS - 1))] for i in range(CURVE_POINTS)]
    return [
        Point(
            round(point.epoch, 3),
            round(point.seconds, 2),
            float(f"{point.loss:.5g}"),
            None if point.accuracy is None else round(point.accuracy, 5),
        )
        for point in kept
    ]


def _forget_where_it_was_made(model: onnx.ModelProto) -> None:
    """The exporter notes each operator's stack trace, with the paths of the machine."""
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info,
                 *model.graph.initializer, model.graph, model):  # fmt: skip
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _next_version(folder: Path) -> int:
    versions = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    return max(versions, default=0) + 1


@contextlib.contextmanager
def staging_beside(models_dir: Path) -> Iterator[Path]:
    """A folder that will be gone again: beside `models/`, or hidden in it where that is a mount of its own."""
    models_dir.mkdir(parents=True, exist_ok=True)
    parent = models_dir.absolute().parent
    if models_dir.is_mount() or not os.access(parent, os.W_OK):
        parent = models_dir
    staging = Path(tempfile.mkdtemp(prefix=".digitalis-", dir=parent))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
