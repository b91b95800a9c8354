"""The segmenter: the network that finds the ink of a digit in a picture, for the normaliser.

It is no model that clients may name, but a part of the service: its files ship in the package, so that it is there
whatever models are served. It always runs on the CPU, where one run takes less than the way to a GPU and back.
"""

import dataclasses
import functools
from pathlib import Path

import msgspec
import numpy as np

from service.bundle.golden import check_golden
from service.bundle.loading import Contents, read_file, read_files
from service.bundle.manifest import GOLDEN, MANIFEST, ONNX, TORCHSCRIPT, DataSource
from service.bundle.signature import Arrays, Signature, TensorSpec
from service.errors import BundleError, InferenceFailed
from service.images import normaliser
from service.images.normaliser import NORMALISER, SegmentFunction
from service.images.normaliser.segmentation import Grey, Segmented
from service.inference.runtimes import Runtime, open_runtime
from service.settings import Settings

FOLDER = Path(normaliser.__file__).parent / "segmenter"
SIGNATURE = Signature(
    (TensorSpec("picture", "UINT8", (-1, -1, -1)),),
    (
        TensorSpec("ink", "UINT8", (-1, -1, -1)),
        TensorSpec("digit_count", "FP32", (-1, 3)),
        TensorSpec("light_ink", "FP32", (-1, 1)),
    ),
)
"""`picture` [n, height, width], grey, its sides multiples of 8 -> `Segmented`, as arrays."""


class SegmenterManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the segmenter's `manifest.json` says; `files` maps every other file of the folder to its SHA-256."""

    normaliser: str
    """The version of the normaliser that it is a part of."""
    files: dict[str, str]
    recipe: dict[str, object]
    data: DataSource
    metrics: dict[str, float]
    """On pictures of digits that it was not trained on."""
    libraries: dict[str, str]
    created: str


def load_segmenter(folder: Path = FOLDER) -> tuple[SegmenterManifest, Contents]:
    """Read the segmenter's files, and check their SHA-256; raises `BundleError`."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(read_file(path), type=SegmenterManifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}") from None
    if manifest.normaliser != NORMALISER:
        raise BundleError(f"{path}: it is of {manifest.normaliser!r}, this service has {NORMALISER!r}")
    if missing := {ONNX, TORCHSCRIPT, GOLDEN} - set(manifest.files):
        raise BundleError(f"{path}: files must include {', '.join(sorted(missing))}")
    return manifest, read_files(folder, manifest.files)


def _predict(runtime: Runtime, inputs: Arrays) -> Arrays:
    """The outputs, checked as a model's; raises `SignatureMismatch` and `InferenceFailed`."""
    SIGNATURE.check_inputs(inputs)
    try:
        outputs = runtime.run(inputs)
    except Exception as error:  # the runtimes' exceptions have no narrower base class
        raise InferenceFailed(f"the segmenter failed on {runtime.name}") from error
    SIGNATURE.check_outputs(outputs)
    return outputs


def open_segmenter(settings: Settings, folder: Path = FOLDER) -> SegmentFunction:
    """The segmenter on the runtime of the settings, after its golden examples; raises `StartError`."""
    _, contents = load_segmenter(folder)
    if settings.runtime == "onnx":  # a run takes less than waking threads; PyTorch has one number for all models
        settings = dataclasses.replace(settings, intra_op_threads=1)
    try:
        runtime = open_runtime(SIGNATURE, contents, settings, None)
        check_golden(SIGNATURE, contents, functools.partial(_predict, runtime), runtime.name)
    except BundleError as error:
        raise BundleError(f"{folder}/{error}") from error

    def segment(grey: Grey) -> Segmented:
        outputs = runtime.run({"picture": grey[np.newaxis]})
        none, one, several = outputs["digit_count"][0].tolist()
        return Segmented(outputs["ink"][0], (none, one, several), float(outputs["light_ink"][0, 0]))

    return segment
