"""From a folder to a checked bundle: the schema of its manifest first, then the checksum of each file."""

import hashlib
import itertools
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from service.bundle.baseline import LABEL, image_feature_names, monitored_names
from service.bundle.manifest import (
    FORMAT,
    GOLDEN,
    IMAGE_SHAPE,
    MANIFEST,
    MAX_SIDE,
    MIXTURE_OUTPUTS,
    ONNX,
    OOD_OUTPUT,
    TORCHSCRIPT,
    Bundle,
    Column,
    ModelId,
)
from service.bundle.signature import TensorSpec
from service.bundle.signing import check_signature
from service.errors import BundleError

NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
VERSION = re.compile(r"[1-9][0-9]{0,8}")

Contents = dict[str, bytes]  # file name -> bytes of every file of a bundle, the manifest included
Problem = tuple[object, str]  # truthy if the problem exists, and the message for it


class _Format(msgspec.Struct, frozen=True):
    """The one field that every format has; it is read first, as the others differ between formats."""

    format: Any


def load_bundle(
    folder: Path, public_key: Path | None = None, identity: ModelId | None = None, root: Path | None = None
) -> tuple[Bundle, Contents]:
    """Read the manifest and every file that it names, once; check its schema, then the SHA-256 of each file.

    With a `public_key`, a file in PEM, the signature of the manifest is checked before anything else. The bytes that
    were checked are the bytes that are opened: nothing is read from the folder afterwards. Its name and version must be
    those of `identity`, by default of the folder, and its files must lie under `root`, by default the folder of all
    models. Raises `BundleError`, which
    names the file, what was expected and what was found.
    """
    path = folder / MANIFEST
    manifest = read_file(path)
    if public_key:
        check_signature(folder, manifest, public_key)
    try:
        found = msgspec.json.decode(manifest, type=_Format).format
        if found != FORMAT:
            raise BundleError(f"{path}: format {found!r}, this service reads format {FORMAT}: export the bundle again")
        bundle = msgspec.json.decode(manifest, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}") from None
    _check_consistency(bundle, folder, identity or ModelId(folder.parent.name, folder.name))
    _check_links(folder, bundle, (root or folder.parent.parent).resolve())
    return bundle, {MANIFEST: manifest} | read_files(folder, bundle.files)


def read_files(folder: Path, files: dict[str, str]) -> Contents:
    """Read the files that a manifest names; raises `BundleError` unless the SHA-256 of each is the manifest's."""
    contents = {}
    for name, expected in files.items():
        contents[name] = read_file(folder / name)
        checksum = sha256(contents[name])
        if checksum != expected:
            raise BundleError(f"{folder / name}: damaged: SHA-256 is {checksum}, {MANIFEST} expects {expected}")
    return contents


def bundle_digest(contents: Contents) -> str:
    """The SHA-256 of the manifest, and so, through its checksums, of the whole bundle."""
    return "sha256:" + sha256(contents[MANIFEST])


def sha256(content: bytes) -> str:
    """The checksum of a file, as the manifest records it."""
    return hashlib.sha256(content).hexdigest()


def read_file(path: Path) -> bytes:
    """The content of a file of a bundle; raises `BundleError`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would never end
            raise BundleError(f"{path}: it is not a regular file")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from None


def _check_links(folder: Path, bundle: Bundle, root: Path) -> None:
    """Raise `BundleError` for a file that is a link out of the folder of all models."""
    for path in (folder / name for name in (MANIFEST, *bundle.files)):
        if not _resolved(path).is_relative_to(root):
            raise BundleError(f"{path}: it is a link that leads out of the folder of the models")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        raise BundleError(f"{path}: it is a link to itself") from None


def _check_consistency(bundle: Bundle, folder: Path, identity: ModelId) -> None:
    """Check what the types of `Bundle` cannot express; raise `BundleError` for the first problem."""
    # Lazily: a check may rely on the ones before it.
    checks = _identity_problems(bundle, identity), _signature_problems(bundle), _baseline_problems(bundle)
    for exists, message in itertools.chain(*checks):
        if exists:
            raise BundleError(f"{folder / MANIFEST}: {message}")


def _identity_problems(bundle: Bundle, identity: ModelId) -> Iterator[Problem]:
    """Names, the folder, and the files."""
    yield (
        not NAME.fullmatch(bundle.name),
        f"name {bundle.name!r} must be lower-case letters, digits, and . _ - between them",
    )
    yield not VERSION.fullmatch(bundle.version), f"version {bundle.version!r} is not an integer from 1 up"
    yield identity != bundle.id, f"it is {bundle.id}, but its folder is {identity}"
    yield GOLDEN not in bundle.files, f"files must include {GOLDEN}"
    yield not {ONNX, TORCHSCRIPT} & set(bundle.files), f"files must include {ONNX} or {TORCHSCRIPT}"
    yield any(Path(name).name != name for name in bundle.files), "files must be plain names, without a folder"
    yield len(set(bundle.labels)) != len(bundle.labels), "two labels are the same"
    yield _repeated(bundle.features), "two features have one name"
    yield _repeated(bundle.targets), "two targets have one name"
    for name in (*bundle.labels, *(column.name for column in (*bundle.features, *bundle.targets))):
        yield not is_a_name(name), f"{name!r} contains quotes, a backslash or a control character"
    for column in bundle.features:
        words, codes = column.categories, (0, len(column.categories) - 1)
        if words:
            yield len(set(words)) != len(words) or "" in words, f"{column.name}: its categories must be different words"
            yield (column.minimum, column.maximum) != codes, f"{column.name}: its range must be {codes}, as categories"


def _signature_problems(bundle: Bundle) -> Iterator[Problem]:
    """The inputs and outputs against the task, the columns and the labels."""
    inputs, outputs = bundle.signature.inputs, bundle.signature.outputs
    if bundle.takes_tensors:
        yield from _tensor_problems(bundle)
        return
    yield len(inputs) != 1 or not outputs, "the signature must have one input, and at least one output"
    yield not _input_fits(bundle), f"the input {inputs[0]} does not fit {len(bundle.features)} features"
    given = f"{bundle.task} with {len(bundle.labels)} labels and {len(bundle.targets)} targets"
    yield not _output_fits(bundle), f"{given} does not fit the output {outputs[0]}"
    yield not _abstention_fits(bundle), f"{bundle.abstention} does not fit the outputs {outputs[1:]}"


def _tensor_problems(bundle: Bundle) -> Iterator[Problem]:
    """A network of any inputs and outputs: names that differ, the batch first, and nothing that is not known of it."""
    for side in (bundle.signature.inputs, bundle.signature.outputs):
        yield not side, "the signature must have at least one input and one output"
        yield len({spec.name for spec in side}) != len(side), "two inputs, or two outputs, have one name"
        for spec in side:
            yield not is_a_name(spec.name), f"{spec.name!r} contains quotes, a backslash or a control character"
            yield not spec.shape or spec.shape[0] != -1, f"{spec.name}: the first dimension must be -1, the batch"
    known = bundle.labels or bundle.features or bundle.targets or bundle.normaliser or bundle.abstention
    yield known, "a network of tensors has no labels, features, targets, normaliser or abstention"


def _baseline_problems(bundle: Bundle) -> Iterator[Problem]:
    measured = [column.name for column in bundle.image_features]
    measurable = [*image_feature_names(digits=bundle.reads_digits)] if bundle.takes_images else []
    yield measured not in ([], measurable), f"image_features {measured}: expected {measurable}"
    found = tuple(histogram.name for histogram in bundle.baseline)
    if not found and not bundle.label_fractions:  # the training data is not known
        return
    features, targets = ([column.name for column in columns] for columns in (bundle.features, bundle.targets))
    expected = monitored_names(features, targets, digits=bundle.reads_digits)
    yield found != expected, f"baseline of {', '.join(found)}: expected {', '.join(expected)}"
    yield (
        len({*found, LABEL}) <= len(found),
        f"two baseline histograms have one name ({LABEL!r} is taken by the labels)",
    )
    for histogram in bundle.baseline:
        message = f"baseline of {histogram.name}: edges must increase, and the fractions of all bins add up to 1"
        yield not histogram.is_valid, message
    complete = not bundle.label_fractions or abs(sum(bundle.label_fractions) - 1) < 1e-3
    message = "label_fractions must be one fraction for each label, adding up to 1"
    yield len(bundle.label_fractions) != len(bundle.labels) or not complete, message


def is_a_name(text: str) -> bool:
    """Whether a label, feature or target may be called so: as a key of JSON it must need no escapes."""
    return bool(text) and not re.search(r'["\\\x00-\x1f]', text)


def _repeated(columns: tuple[Column, ...]) -> bool:
    return len({column.name for column in columns}) != len(columns)


def _input_fits(bundle: Bundle) -> bool:
    spec = bundle.signature.inputs[0]
    if spec.name == "image":
        batch, sides, colours = spec.shape[0], spec.shape[1:3], spec.shape[3:]
        if bundle.reads_digits:
            fits = sides == IMAGE_SHAPE and not colours
        else:
            fits = len(sides) == 2 and 0 < min(sides) <= MAX_SIDE and colours in ((), (3,))
        return spec.datatype == "UINT8" and batch == -1 and fits
    return (spec.name, spec.datatype, spec.shape) == ("features", "FP32", (-1, len(bundle.features)))


def _output_fits(bundle: Bundle) -> bool:
    spec = bundle.signature.outputs[0]
    if bundle.task == "mixture":
        return _mixture_fits(bundle)
    if bundle.task == "regression":
        values = len(bundle.targets)
        return values > 0 and not bundle.labels and spec == TensorSpec("values", "FP32", (-1, values))
    classes = len(bundle.labels)
    enough = classes == 2 if bundle.task == "binary" else classes >= 2
    return enough and not bundle.targets and spec == TensorSpec("probabilities", "FP32", (-1, classes))


def _mixture_fits(bundle: Bundle) -> bool:
    """Weights, means and deviations of as many Gaussians, for one value."""
    components = bundle.signature.outputs[0].shape[-1]
    expected = tuple(TensorSpec(name, "FP32", (-1, components)) for name in MIXTURE_OUTPUTS)
    return components > 0 and len(bundle.targets) == 1 and not bundle.labels and bundle.signature.outputs == expected


def _abstention_fits(bundle: Bundle) -> bool:
    """A second output is the out-of-distribution score, and has its threshold; a regression has no abstention."""
    abstention = bundle.abstention
    if bundle.task == "mixture":
        return not abstention
    if abstention and bundle.task == "regression":
        return False
    has_ood_output = abstention is not None and abstention.max_background is not None
    return bundle.signature.outputs[1:] == ((OOD_OUTPUT,) if has_ood_output else ())
