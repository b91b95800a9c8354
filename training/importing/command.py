"""`import`, and `export_network` for Python: a network that was trained elsewhere becomes a bundle."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from service.bundle.loading import NAME, sha256
from service.bundle.manifest import ONNX, TORCHSCRIPT, ImportedFile, Preprocess
from service.bundle.signature import TensorSpec
from training.bundles.export import check_writable
from training.bundles.model_files import onnx_of_module
from training.commands import console, print_comparisons
from training.errors import CannotImport
from training.importing.foreign import ForeignNetwork, foreign_onnx
from training.importing.image_input import ImageInput, image_input
from training.importing.imported_bundle import Imported, write_imported
from training.importing.meaning import Described, Meaning, check_features, meaning_of
from training.importing.onnx_file import describe_producer, read_onnx
from training.importing.onnx_rewriting import rewrite
from training.importing.samples import Samples, read_samples
from training.tables.reading import read_table

ONNX_SUFFIXES, TORCHSCRIPT_SUFFIXES = (".onnx",), (".pt", ".pth", ".ts", ".torchscript")
KERAS = "with Keras: model.export('net.onnx', format='onnx')"
SKLEARN = "with skl2onnx: open('net.onnx', 'wb').write(skl2onnx.to_onnx(model, X[:1]).SerializeToString())"
PICKLE = f"it is a pickle, which can run any program when it is opened, so it is not opened; {SKLEARN}"
ADVICE = {
    ".keras": f"it is a Keras file: {KERAS}",
    ".h5": f"it is a Keras file: {KERAS}",
    ".pkl": PICKLE,
    ".pickle": PICKLE,
    ".joblib": PICKLE,
    ".safetensors": "it has weights alone, without the network: training.export_network(module, example) exports both",
    ".pt2": "it is a program of torch.export: torch.onnx.export(program, f='net.onnx', dynamo=True) makes an ONNX file",
    ".ubj": "it is a model of XGBoost: onnxmltools.convert_xgboost(model, initial_types=...) makes an ONNX file",
    ".tflite": "it is a model of TensorFlow Lite: tf2onnx converts it to ONNX",
    ".pb": "it is a model of TensorFlow: tf2onnx converts it to ONNX",
}


def import_network(args: argparse.Namespace) -> None:
    """Read a file, say what it is taken for, and write its bundle."""
    path: Path = args.file
    name = args.name or _name(path)
    check_writable(args.models_dir)
    image = _image(args)
    said = Described(args.labels, args.features, args.targets, args.output or "", args.logits, image, args.tensors)
    if args.tensors and (image or said.labels or said.features or said.targets or args.samples):
        raise CannotImport("--tensors says nothing of what its inputs and outputs are: give it alone")
    if image and args.samples:
        raise CannotImport("--samples is of rows of features, and --image says that the network takes pictures")
    data = _read(path)
    if path.suffix.lower() in TORCHSCRIPT_SUFFIXES:
        opened = _open_torchscript(path, said, args)
    elif args.inputs:
        raise CannotImport("--input is for TorchScript: an ONNX file has the shapes of its inputs")
    else:
        opened = open_onnx(read_onnx(path), str(path), image)
    console.print(f"{path}: {opened.producer}", markup=False)
    for note in opened.network.notes:
        console.print(note, markup=False)
    origin = ImportedFile(path.name, "sha256:" + sha256(data), opened.producer)
    samples = None
    if args.samples:
        check_features(opened.network.inputs, str(path))
        samples = read_samples(args.samples, said.features, _width(opened.network))
    publish(opened, said, Target(name, args.models_dir, origin, samples))


def export_network(  # noqa: PLR0913 - all but two are named, and optional
    module: Any,
    example: Any,
    *,
    name: str,
    labels: Sequence[str] = (),
    features: Sequence[str] = (),
    targets: Sequence[str] = (),
    logits: bool = False,
    models_dir: str | Path = "models",
) -> Path:
    """Write the next version of a bundle of a `torch.nn.Module`; return its folder.

    `example` is one input of the module, or a tuple of them, with a row each for at least one example. `labels` name
    the classes of a classifier, in the order of its output, which `logits` says are no probabilities yet; `targets`
    name the values of a regression; `features` name the columns of the input. Without any of them, the module is served
    as tensors. Raises `CannotImport` with what cannot be served, and what to do.
    """
    check_writable(Path(models_dir))
    bundle_name = _checked_name(name)
    model = onnx_of_module(module, example if isinstance(example, tuple) else (example,))
    opened = open_onnx(model, type(module).__name__)
    origin = ImportedFile(type(module).__name__, "sha256:" + sha256(model.SerializeToString()), opened.producer)
    said = Described(tuple(labels), tuple(features), tuple(targets), "", logits)
    return publish(opened, said, Target(bundle_name, Path(models_dir), origin))


@dataclass(frozen=True)
class Opened:
    """A file that was opened: what made it, the network in it, and the file of the bundle for a meaning."""

    producer: str
    network: ForeignNetwork
    file: str
    rewrite: Callable[[Meaning], bytes]


@dataclass(frozen=True)
class Target:
    """Where the bundle is written, and what it says of where the network came from."""

    name: str
    models_dir: Path
    origin: ImportedFile
    samples: Samples | None = None


def open_onnx(model: ModelProto, where: str, image: ImageInput | None = None) -> Opened:
    """The network in a graph; raises `CannotImport`."""
    producer = describe_producer(model)
    network, changed = foreign_onnx(model, where, image)
    return Opened(producer, network, ONNX, lambda meaning: rewrite(changed, network, meaning).SerializeToString())


def publish(opened: Opened, said: Described, target: Target) -> Path:
    """Write the bundle, and say what the network is taken for and how far the service is from its file."""
    samples = target.samples
    meaning = meaning_of(opened.network, said, samples.names if samples else (), target.origin.name)
    _print_meaning(meaning, said)
    files = {opened.file: opened.rewrite(meaning)}
    imported = Imported(target.name, opened.network, meaning, files, target.origin, samples)
    folder, comparisons = write_imported(imported, target.models_dir)
    print_comparisons(comparisons)
    console.print(f"{target.name}: wrote {folder}", markup=False)
    console.print(f"to serve it: digitalis serve --models {target.models_dir}", markup=False)
    return folder


def _open_torchscript(path: Path, said: Described, args: argparse.Namespace) -> Opened:
    import torch

    from training.importing.torchscript import foreign_torchscript, read_torchscript, rewrite_torchscript

    module = read_torchscript(path)
    inputs: list[TensorSpec] = args.inputs
    if said.image and not inputs:
        height, width, colours = (*said.image.shape, 1)[:3]
        inputs = [TensorSpec("image", "FP32", (-1, colours, height, width))]
    if not inputs:
        count = len(said.features or (read_table(args.samples).columns if args.samples else ()))
        inputs = [TensorSpec("features", "FP32", (-1, count))] if count else []
    network = foreign_torchscript(module, inputs, str(path))
    producer = f"TorchScript, opened by PyTorch {torch.__version__}"
    return Opened(producer, network, TORCHSCRIPT, lambda meaning: rewrite_torchscript(module, network, meaning))


def _image(args: argparse.Namespace) -> ImageInput | None:
    """What is said of pictures, if the network takes any."""
    if args.image:
        preprocess = Preprocess(args.preprocess or "fit", args.ink or "kept")
        return image_input(args.image, preprocess, args.pixels or (), args.mean, args.std)
    given = [name for name in ("preprocess", "ink", "pixels", "mean", "std") if getattr(args, name)]
    if given:
        raise CannotImport(f"--{given[0]} is of pictures: --image 28x28, or 32x32x3 in colour, says their size")
    return None


def _read(path: Path) -> bytes:
    """The bytes of a file that may be a network; raises `CannotImport`, and says what to do for one that is none."""
    suffix = path.suffix.lower()
    if suffix not in (*ONNX_SUFFIXES, *TORCHSCRIPT_SUFFIXES):
        advice = ADVICE.get(suffix, "its name must end in .onnx, or for TorchScript in .pt")
        raise CannotImport(f"{path}: {advice}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise CannotImport(f"{path}: {error.strerror}") from None


def _width(network: ForeignNetwork) -> int:
    """How many features a row has; 0 if the input is no vector."""
    shape = network.inputs[0].shape
    return shape[1] if len(shape) == 2 else 0


def _print_meaning(meaning: Meaning, said: Described) -> None:
    """What the network is taken for, and what may be said to change that."""
    if meaning.output is None:
        console.print(
            "it is served as tensors, by the names that it has; for rows of named features, say --features and "
            "--labels or --targets"
        )
        return
    result = f"{len(meaning.labels)} classes ({', '.join(meaning.labels)})" if meaning.labels else "a regression"
    console.print(f"{meaning.task}: {result}, of output {meaning.output.name!r}", markup=False)
    if meaning.image:
        size = "x".join(map(str, meaning.image.shape))
        console.print(f"pictures: preprocess {meaning.image.preprocess.method}, {size}", markup=False)
    elif not said.features:
        console.print(f"features: {', '.join(meaning.features)} (--features names them)", markup=False)


def _name(path: Path) -> str:
    """The name of the file as a bundle may have it."""
    return _checked_name(re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._"))


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise CannotImport(f"{name!r} is no name of a bundle: lower-case letters, digits, and . _ - between them")
    return name
