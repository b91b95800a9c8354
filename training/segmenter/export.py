"""The segmenter's files: both formats, golden examples, report and manifest, verified and then put in place."""

import datetime as dt
import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from service.bundle.golden import Golden
from service.bundle.loading import Contents, sha256
from service.bundle.manifest import CURVE, GOLDEN, MANIFEST, ONNX, TORCHSCRIPT, DataSource
from service.bundle.signature import Arrays
from service.errors import StartError
from service.images.normaliser import NORMALISER
from service.inference.runtimes import open_runtime
from service.inference.segmenter import SIGNATURE, SegmenterManifest, load_segmenter, open_segmenter
from service.settings import Settings
from training.bundles.export import LIBRARIES, staging_directory
from training.bundles.golden_examples import SAMPLES
from training.bundles.model_files import export_torchscript, write_onnx
from training.bundles.restore import torchscript_weights
from training.bundles.verify import BatchComparison
from training.errors import VerificationFailed
from training.learning.curve import CurvePoint, downsample_curve
from training.segmenter.network import MULTIPLE, ExportedSegmenter, Segmenter
from training.segmenter.recipe import SegmenterRecipe

INK, PROBABILITY = 2.0, 1e-3  # tolerances of the golden examples: of 255, and of 1
SHAPES = ((1, 64, 64), (1, 40, 64), (3, 64, 32), (1, 128, 96))  # that are compared with the network
ALLOWED = {"ink": 1.0, "digit_count": 1e-4, "light_ink": 1e-4}


def export_segmenter(
    network: Segmenter,
    recipe: SegmenterRecipe,
    source: DataSource,
    curve: list[CurvePoint],
    metrics: dict[str, float],
    folder: Path,
) -> list[BatchComparison]:
    """Write all files, compare both formats with the network, and put them into `folder` in place of older ones.

    Raises `VerificationFailed`, and changes nothing, if a file does not compute what the network computes.
    """
    exported = ExportedSegmenter(network.cpu().eval())
    with staging_directory(folder.parent) as staging:
        new = staging / "new"
        new.mkdir()
        example = torch.zeros(2, 64, 48, dtype=torch.uint8)
        height, width = (MULTIPLE * torch.export.Dim(name) for name in ("height", "width"))
        write_onnx(exported, SIGNATURE, example, {0: torch.export.Dim("batch"), 1: height, 2: width}, new / ONNX)
        export_torchscript(exported, new / TORCHSCRIPT)
        (new / GOLDEN).write_bytes(msgspec.json.encode(_golden_examples(exported)))
        (new / CURVE).write_bytes(msgspec.json.encode(downsample_curve(curve)))
        manifest = SegmenterManifest(
            normaliser=NORMALISER,
            files={name: sha256((new / name).read_bytes()) for name in (ONNX, TORCHSCRIPT, GOLDEN, CURVE)},
            recipe=msgspec.to_builtins(recipe),
            data=source,
            metrics=metrics,
            libraries={"python": platform.python_version()}
            | {name: importlib.metadata.version(name) for name in LIBRARIES},
            created=dt.datetime.now(dt.UTC).date().isoformat(),
        )
        (new / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        comparisons = verify_segmenter(new, exported)
        if folder.exists():
            folder.rename(staging / "old")
        new.rename(folder)
    return comparisons


def _golden_examples(exported: ExportedSegmenter) -> Golden:
    """Two pictures of `samples/` at 32x32 pixels, with what the network finds in them."""
    pictures = np.stack([_sample(path) for path in sorted(SAMPLES.glob("*.png"))[:2]])
    with torch.inference_mode():
        arrays = exported(torch.from_numpy(pictures))
    return Golden(
        tolerance={"ink": [INK], "digit_count": [PROBABILITY], "light_ink": [PROBABILITY]},
        inputs={"picture": pictures.tolist()},
        outputs={spec.name: array.tolist() for spec, array in zip(SIGNATURE.outputs, arrays, strict=True)},
    )


def _sample(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("L").resize((32, 32), Image.Resampling.BOX))


def verify_segmenter(folder: Path, exported: ExportedSegmenter | None = None) -> list[BatchComparison]:
    """Compare both files with the network, by default that of `model.pt`; raises `VerificationFailed`."""
    try:
        _, contents = load_segmenter(folder)
        onnx.checker.check_model(contents[ONNX], full_check=True)
        network = exported or ExportedSegmenter(rebuild(contents))
        comparisons = []
        for name in ("onnx", "torchscript"):
            settings = Settings(runtime=name, device="cpu", intra_op_threads=1)
            open_segmenter(settings, folder)  # compares the golden examples
            runtime = open_runtime(SIGNATURE, contents, settings, None)
            for shape in SHAPES:
                picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
                with torch.inference_mode():
                    expected = network(torch.from_numpy(picture))
                found = runtime.run({"picture": picture})
                comparisons.append(_compare(runtime.name, shape[0], found, expected))
    except (StartError, onnx.checker.ValidationError) as error:
        raise VerificationFailed(str(error)) from error
    return comparisons


def is_segmenter(folder: Path) -> bool:
    """Whether the manifest in a folder is a segmenter's, and not a bundle's, which has a format."""
    try:
        return "format" not in msgspec.json.decode((folder / MANIFEST).read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return False


def rebuild(contents: Contents) -> Segmenter:
    """The network with the weights of `model.pt`, ready for inference."""
    weights = {name.removeprefix("segmenter."): tensor for name, tensor in torchscript_weights(contents).items()}
    network = Segmenter()
    network.load_state_dict(weights)
    return network.eval()


def _compare(runtime: str, batch_size: int, found: Arrays, expected: Sequence[Tensor]) -> BatchComparison:
    """The output that differs most, compared to what is allowed."""
    worst = BatchComparison(runtime, batch_size, "", 0.0, 1.0)
    for spec, tensor in zip(SIGNATURE.outputs, expected, strict=True):
        difference = float(np.abs(found[spec.name].astype(np.float64) - tensor.numpy()).max())
        allowed = ALLOWED[spec.name]
        if difference > allowed:
            raise VerificationFailed(f"{runtime}: {spec.name} differs by {difference:g}, allowed {allowed:g}")
        if difference / allowed >= worst.difference / worst.allowed:
            worst = BatchComparison(runtime, batch_size, spec.name, difference, allowed)
    return worst
