"""The bundle of a network that was imported, checked through the runtimes of the service against the file as it was."""

import datetime as dt
import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.bundle.baseline import BaselineHistogram, monitored_names
from service.bundle.golden import Golden
from service.bundle.loading import sha256
from service.bundle.manifest import FORMAT, GOLDEN, MANIFEST, ONNX, Bundle, Column, ImportedFile
from service.bundle.signature import FLOATS, NUMPY_DTYPES, Arrays, Signature
from service.images.normaliser import NORMALISER
from service.inference.model import Model
from service.observability import drift
from service.settings import Settings
from training.bundles.baseline import baseline_histogram, fractions_of
from training.bundles.export import next_version, staging_directory
from training.bundles.verify import BATCH_SIZES, BatchComparison
from training.errors import CannotImport, VerificationFailed
from training.importing.foreign import ForeignNetwork, trial_inputs
from training.importing.meaning import Meaning, check_probabilities, input_spec, result_spec
from training.importing.samples import Samples

GOLDEN_ROWS = 5
FREE_SIZE = 4  # of dimensions that may be of any size, in golden examples
ABSOLUTE, RELATIVE = 1e-5, 1e-5  # differences between the service and the file, of numbers
HALF_FACTOR = 100  # times as much, of networks of FP16, which has three digits
GOLDEN_FACTOR = 10  # devices differ by more than runs on one do
BATCH_ROWS = 4096
LIBRARIES = ("onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Imported:
    """A network, what it is, the files of its bundle, and where it came from."""

    name: str
    network: ForeignNetwork
    meaning: Meaning
    files: Mapping[str, bytes]
    origin: ImportedFile
    samples: Samples | None = None

    @property
    def factor(self) -> float:
        """By how much larger differences may be than those of FP32."""
        specs = (*self.network.inputs, *self.network.outputs)
        return HALF_FACTOR if any(spec.datatype == "FP16" for spec in specs) else 1

    @property
    def signature(self) -> Signature:
        """That of the bundle."""
        if self.meaning.output is None:
            return Signature(self.network.inputs, self.network.outputs)
        return Signature((input_spec(self.meaning),), (result_spec(self.meaning),))

    def expected(self, inputs: Arrays) -> dict[str, NDArray[np.generic]]:
        """What the file as it was makes of inputs of the bundle."""
        meaning = self.meaning
        if meaning.output is None:
            found = self.network.run(inputs)
            return {spec.name: np.asarray(found[spec.name]) for spec in self.network.outputs}
        (given,) = self.network.inputs
        (rows,) = inputs.values()
        taken = meaning.image.to_network(rows, given) if meaning.image else rows.astype(NUMPY_DTYPES[given.datatype])
        raw = self.network.run({given.name: taken})[meaning.output.name]
        predicted = meaning.apply(raw)
        if meaning.labels:
            check_probabilities(meaning, predicted, raw, self.origin.name)
        return {result_spec(meaning).name: predicted.astype(np.float32)}

    def inputs(self, rows: int, seed: int) -> Arrays:
        """Some of the samples, or inputs drawn by the seed."""
        if self.meaning.image:
            pixels = np.random.default_rng(seed).integers(0, 256, (rows, *self.meaning.image.shape), np.uint8)
            return {"image": pixels}
        if self.samples is None:
            return trial_inputs(self.signature.inputs, rows, FREE_SIZE, seed)
        chosen = np.random.default_rng(seed).integers(0, len(self.samples.values), rows)
        return {"features": self.samples.values[chosen]}


def write_imported(imported: Imported, models_dir: Path) -> tuple[Path, list[BatchComparison]]:
    """Write the next version of the bundle; return its folder, and how far the service is from the file as it was.

    Raises `VerificationFailed`, and writes nothing, if that is too far.
    """
    with staging_directory(models_dir) as staging:
        folder = staging / imported.name / str(next_version(models_dir / imported.name))
        folder.mkdir(parents=True)
        _write(imported, folder)
        comparisons = _compare(imported, folder)
        target = models_dir / imported.name / folder.name
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
    return target, comparisons


def _write(imported: Imported, folder: Path) -> None:
    meaning = imported.meaning
    contents = {**imported.files, GOLDEN: msgspec.json.encode(_golden(imported))}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    histograms, label_fractions = _baselines(imported)
    bundle = Bundle(
        format=FORMAT,
        name=imported.name,
        version=folder.name,
        task=meaning.task,
        signature=imported.signature,
        labels=meaning.labels,
        features=_columns(imported),
        targets=tuple(Column(name) for name in meaning.targets),
        normaliser=NORMALISER if meaning.image and meaning.image.preprocess.method == "digit" else None,
        preprocess=meaning.image.preprocess if meaning.image else None,
        baseline=histograms,
        label_fractions=label_fractions,
        files={name: sha256(content) for name, content in contents.items()},
        imported=imported.origin,
        libraries={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in LIBRARIES},
        created=dt.datetime.now(dt.UTC).date().isoformat(),
    )
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(bundle), indent=2) + b"\n")


def _golden(imported: Imported) -> Golden:
    """Examples with what the file as it was makes of them; and by how much others may differ.

    That is some times what a row differs by that is run alone.
    """
    inputs = imported.inputs(GOLDEN_ROWS, seed=0)
    outputs = imported.expected(inputs)
    alone = [imported.expected({name: a[i : i + 1] for name, a in inputs.items()}) for i in range(GOLDEN_ROWS)]
    tolerance = {}
    for spec in imported.signature.outputs:
        array = outputs[spec.name]
        single = np.concatenate([one[spec.name] for one in alone])
        allowed = 0.0
        if spec.datatype in FLOATS:
            difference = float(np.abs(single.astype(np.float64) - array.astype(np.float64)).max(initial=0))
            if not np.isfinite(array.astype(np.float64)).all():
                raise CannotImport(
                    f"{imported.origin.name}: output {spec.name!r} is NaN or infinite for inputs that were drawn: the "
                    "network must have a number for every input that its shapes allow"
                )
            allowed = (
                GOLDEN_FACTOR
                * imported.factor
                * (ABSOLUTE + RELATIVE * float(np.abs(array).max(initial=0)) + difference)
            )
        tolerance[spec.name] = [allowed]
    as_lists = [{name: array.tolist() for name, array in side.items()} for side in (inputs, outputs)]
    return Golden(tolerance, *as_lists)


def _columns(imported: Imported) -> tuple[Column, ...]:
    """The features, with the ranges of the samples."""
    if imported.samples is None:
        return tuple(Column(name) for name in imported.meaning.features)
    values = imported.samples.values
    low, high = (function(values, axis=0).tolist() for function in (np.nanmin, np.nanmax))
    missing: list[bool] = np.isnan(values).any(axis=0).tolist()  # type: ignore[assignment]
    named = zip(imported.meaning.features, low, high, missing, strict=True)
    return tuple(Column(name, float(f"{a:.7g}"), float(f"{b:.7g}"), (), gaps) for name, a, b, gaps in named)


def _baselines(imported: Imported) -> tuple[tuple[BaselineHistogram, ...], tuple[float, ...]]:
    """How the samples are distributed, and what is predicted for them; nothing without samples."""
    if imported.samples is None:
        return (), ()
    values, meaning = imported.samples.values, imported.meaning
    batches = [values[at : at + BATCH_ROWS] for at in range(0, len(values), BATCH_ROWS)]
    name = result_spec(meaning).name
    predicted = np.concatenate([imported.expected({"features": batch})[name] for batch in batches])
    monitored = drift.monitored_values({"features": values}, {name: predicted.astype(np.float32)})
    named = zip(monitored_names(meaning.features, meaning.targets), monitored.T, strict=True)
    histograms = tuple(baseline_histogram(one, column) for one, column in named)
    return histograms, fractions_of(predicted) if meaning.labels else ()


def _compare(imported: Imported, folder: Path) -> list[BatchComparison]:
    """Open the bundle as the service does, on each runtime that it has a file for, and run batches of several sizes."""
    runtimes = ["onnx" if name == ONNX else "torchscript" for name in imported.files]
    comparisons = []
    for runtime in runtimes:
        model = Model.open(folder, Settings(runtime=runtime, device="cpu", intra_op_threads=1))
        for rows in BATCH_SIZES:
            inputs = imported.inputs(rows, seed=rows)
            comparisons.append(_compare_batch(imported, model, inputs, rows))
    return comparisons


def _compare_batch(imported: Imported, model: Model, inputs: Arrays, rows: int) -> BatchComparison:
    found, expected = model.predict(inputs), imported.expected(inputs)
    worst = BatchComparison(model.runtime.name, rows, "", 0, ABSOLUTE)
    for name, array in expected.items():
        if array.dtype.kind != "f":
            if not (found[name] == array).all():
                raise VerificationFailed(f"{imported.name}: {name} is another one than that of {imported.origin.name}")
            continue
        difference = np.abs(found[name].astype(np.float64) - array.astype(np.float64))
        allowed = imported.factor * (ABSOLUTE + RELATIVE * np.abs(array.astype(np.float64)))
        at = np.unravel_index((difference / allowed).argmax(), difference.shape)
        if difference[at] > allowed[at]:
            message = f"{name} differs by {difference[at]:.2g}, allowed {allowed[at]:.2g}"
            raise VerificationFailed(f"{imported.name}: {model.runtime.name}, batch size {rows}: {message}")
        if difference[at] / allowed[at] >= worst.difference / worst.allowed:
            worst = msgspec.structs.replace(worst, difference=float(difference[at]), allowed=float(allowed[at]))
    outputs = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in found.items())
    return msgspec.structs.replace(worst, outputs=outputs)
