"""A bundle at rest: the folder `models/<name>/<version>/`, and the checks that it must pass to be opened.

    manifest.json   everything below but the numbers: the fields of `Bundle`
    model.onnx      the network for ONNX Runtime, weights inside
    model.pt        the same network as TorchScript
    golden.json     a few inputs with the outputs that every runtime must give: see `golden`
    curve.json      how the loss fell in training; not read by the service
    report.html     what the network is and does, for people

Everything numerical (scaling, standardisation, softmax) is inside the graph, so two runtimes can only agree.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from service.bundle.signature import Signature, TensorSpec
from service.errors import BundleError
from service.images.normaliser import NORMALISER
from service.observability import drift
from service.observability.drift import Distribution, Share

MANIFEST = "manifest.json"
GOLDEN = "golden.json"
ONNX = "model.onnx"
TORCHSCRIPT = "model.pt"
CURVE = "curve.json"
REPORT = "report.html"

IMAGE_SHAPE = (28, 28)
BACKGROUND = TensorSpec("background", "FP32", (-1, 1))
FORMAT = 3
NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
VERSION = re.compile(r"[1-9][0-9]{0,8}")

Task = Literal["multiclass", "binary", "regression"]


class Feature(msgspec.Struct, frozen=True, cache_hash=True, forbid_unknown_fields=True):
    """A column, what goes in or a value that comes out, spelled as its data set does, with the range in training."""

    name: str
    minimum: float
    maximum: float


class DataSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a network was trained and judged on; `checksum` covers the bytes that were read."""

    name: str
    source: str
    licence: str
    checksum: str
    train_rows: int
    held_out_rows: int
    """0 where all there is was learned from: the metrics are of those rows then."""


class Abstention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When an answer is unsure: its label is less likely than `probability`, or the background likelier (0 to 1).

    That is of a network with a second output, `background` FP32 [n, 1]: how probably an instance is none of the labels.
    """

    probability: Annotated[float, msgspec.Meta(ge=0, le=1)]
    background: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


class _Format(msgspec.Struct, frozen=True):
    """What is read of a manifest first: another format may have other fields."""

    format: Any


class Counted(msgspec.Struct, frozen=True):
    """What is counted of a model's answers, beside the requests: its labels, and the bins of what may drift."""

    labels: tuple[str, ...] = ()
    label_shares: tuple[Share, ...] = ()
    distributions: tuple[Distribution, ...] = ()


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `manifest.json` says. `files` gives the SHA-256 of every other file of the folder."""

    format: int
    name: str
    version: str
    task: Task
    signature: Signature
    labels: tuple[str, ...] = ()
    features: tuple[Feature, ...] = ()
    targets: tuple[Feature, ...] = ()
    normaliser: str | None = None
    """Of an image model: which ink normaliser makes the pictures that the network knows how to read."""
    abstention: Abstention | None = None
    distributions: tuple[Distribution, ...]
    """Of the rows of training: of each feature, or of the ink, and of the network's confidence, or its values."""
    label_shares: tuple[Share, ...] = ()
    """Of the same rows: how many the network gives each label."""
    files: dict[str, str]
    recipe: dict[str, Any]
    seed: int
    data: DataSource
    metrics: dict[str, float]
    libraries: dict[str, str]
    created: str

    @property
    def title(self) -> str:
        """How logs and messages call it: `iris/1`."""
        return f"{self.name}/{self.version}"

    @property
    def takes_images(self) -> bool:
        """Whether the one input is a batch of 28x28 images, and not of feature vectors."""
        return self.signature.inputs[0].datatype == "UINT8"

    @property
    def counted(self) -> Counted:
        """What is counted of its answers."""
        return Counted(self.labels, self.label_shares, self.distributions)


Contents = dict[str, bytes]  # the files of a bundle by their names, manifest included


def read_counted(folder: Path) -> Counted:
    """What is counted of a bundle, nothing else of its manifest being checked; nothing if that cannot be read."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Counted)
    except (OSError, msgspec.DecodeError):
        return Counted()  # whoever opens the bundle will say what is wrong with it


def load_bundle(folder: Path) -> tuple[Bundle, Contents]:
    """Read a bundle and every file that it names, once, checking its schema and then each file's SHA-256.

    What was checked is what is opened: nothing else is read from the folder afterwards. Raises `BundleError`
    saying which file of which bundle, what was expected and what was found.
    """
    path = folder / MANIFEST
    manifest = _read(path)
    try:
        found = msgspec.json.decode(manifest, type=_Format).format
        if found != FORMAT:
            raise BundleError(f"{path}: format {found!r}, this service reads format {FORMAT}: export the bundle again")
        bundle = msgspec.json.decode(manifest, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}") from None
    _check_schema(bundle, folder)
    contents = {MANIFEST: manifest}
    for name, expected in bundle.files.items():
        contents[name] = _read(folder / name)
        checksum = sha256(contents[name])
        if checksum != expected:
            raise BundleError(f"{folder / name}: damaged: SHA-256 is {checksum}, {MANIFEST} expects {expected}")
    return bundle, contents


def digest(contents: Contents) -> str:
    """The SHA-256 of the manifest, and so, through its checksums, of the whole bundle."""
    return "sha256:" + sha256(contents[MANIFEST])


def sha256(content: bytes) -> str:
    """The checksum that a manifest gives of a file."""
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from None


def _check_schema(bundle: Bundle, folder: Path) -> None:
    """What the types of `Bundle` cannot say: names, places, and that the parts belong together."""
    outputs = bundle.signature.outputs
    output = outputs[0] if outputs else None
    inputs = bundle.signature.inputs[0] if len(bundle.signature.inputs) == 1 else None
    wrong = [
        (not NAME.fullmatch(bundle.name), f"name {bundle.name!r} is not of lower-case letters, digits, . _ -"),
        (not VERSION.fullmatch(bundle.version), f"version {bundle.version!r} is not a whole number from 1 up"),
        ((folder.parent.name, folder.name) != (bundle.name, bundle.version), f"it is {bundle.title}, in this folder"),
        (inputs is None or not outputs, "the signature must have one input, and an output"),
        (not {ONNX, TORCHSCRIPT, GOLDEN} <= set(bundle.files), f"files must name {ONNX}, {TORCHSCRIPT}, {GOLDEN}"),
        (any(Path(name).name != name for name in bundle.files), "files must be plain names"),
        (len(set(bundle.labels)) != len(bundle.labels), "two labels are the same"),
        (len({feature.name for feature in bundle.features}) != len(bundle.features), "two features have one name"),
        (len({target.name for target in bundle.targets}) != len(bundle.targets), "two targets have one name"),
        (inputs and not _input_fits(bundle), f"no way to feed an input {inputs} with {len(bundle.features)} features"),
        (
            outputs and not _output_fits(bundle),
            f"{bundle.task} with {len(bundle.labels)} labels and {len(bundle.targets)} targets does not fit {output}",
        ),
        *_wrong_distributions(bundle),
        (outputs and not _abstention_fits(bundle), f"{bundle.abstention} does not fit the outputs {outputs[1:]}"),
    ]
    images = inputs is not None and bundle.takes_images
    if bundle.normaliser != (NORMALISER if images else None):
        need = f"this service has {NORMALISER!r}" if images else "a model of vectors has none"
        wrong.append((True, f"the ink normaliser {bundle.normaliser!r}: {need}; export the bundle again"))
    for is_wrong, message in wrong:
        if is_wrong:
            raise BundleError(f"{folder / MANIFEST}: {message}")


def _wrong_distributions(bundle: Bundle) -> Iterator[tuple[bool, str]]:
    found = tuple(one.name for one in bundle.distributions)
    expected = drift.names(*((column.name for column in columns) for columns in (bundle.features, bundle.targets)))
    yield found != expected, f"distributions of {', '.join(found)}: expected {', '.join(expected)}"
    yield len({*found, drift.LABEL}) <= len(found), "two distributions have one name, of them one is the labels'"
    for one in bundle.distributions:
        yield not one.fits, f"the distribution of {one.name}: edges must rise, and the shares of all bins be 1 together"
    whole = not bundle.label_shares or abs(sum(bundle.label_shares) - 1) < 1e-3
    yield len(bundle.label_shares) != len(bundle.labels) or not whole, "label_shares must be of all labels, 1 together"


def _input_fits(bundle: Bundle) -> bool:
    spec = bundle.signature.inputs[0]
    if spec.name == "image":
        return (spec.datatype, spec.shape) == ("UINT8", (-1, *IMAGE_SHAPE))
    return (spec.name, spec.datatype, spec.shape) == ("features", "FP32", (-1, len(bundle.features)))


def _abstention_fits(bundle: Bundle) -> bool:
    """A second output is the background, and has its threshold; a regression is never unsure."""
    abstention = bundle.abstention
    if abstention and bundle.task == "regression":
        return False
    wary = abstention is not None and abstention.background is not None
    return bundle.signature.outputs[1:] == ((BACKGROUND,) if wary else ())


def _output_fits(bundle: Bundle) -> bool:
    spec = bundle.signature.outputs[0]
    if bundle.task == "regression":
        values = len(bundle.targets)
        return values > 0 and not bundle.labels and spec == TensorSpec("values", "FP32", (-1, values))
    classes = len(bundle.labels)
    enough = classes == 2 if bundle.task == "binary" else classes >= 2
    return enough and not bundle.targets and spec == TensorSpec("probabilities", "FP32", (-1, classes))
