"""What inputs and outputs of a network are: features and classes, or values; or tensors, of which no more is said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Task
from service.bundle.signature import FLOATS, TensorSpec
from training.errors import CannotImport
from training.importing.foreign import ForeignNetwork
from training.importing.image_input import ImageInput

SUM_TOLERANCE = 1e-3  # by which probabilities of all classes may differ from 1

Activation = Literal["none", "softmax", "sigmoid"]


@dataclass(frozen=True)
class Described:
    """What a person says of a network; empty where it is not said."""

    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    output: str = ""
    logits: bool = False
    image: ImageInput | None = None
    tensors: bool = False


@dataclass(frozen=True)
class Meaning:
    """One input of `features`, or an `image`, and the output of which `probabilities` or `values` are made.

    Nothing of tensors.
    """

    task: Task
    features: tuple[str, ...] = ()
    image: ImageInput | None = None
    labels: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    output: TensorSpec | None = None
    activation: Activation = "none"

    @property
    def has_one_unit(self) -> bool:
        """Whether the output of a classifier is the probability of its second label alone."""
        return bool(self.labels) and self.output is not None and self.output.shape[1:] in ((), (1,))

    def apply(self, array: NDArray[np.generic]) -> NDArray[np.float64]:
        """The `probabilities` or `values` for what the network gives: FP64 [n, labels or values]."""
        found = np.asarray(array, np.float64).reshape(len(array), -1)
        if self.activation == "softmax":
            exponents = np.exp(found - found.max(axis=1, keepdims=True))
            found = exponents / exponents.sum(axis=1, keepdims=True)
        if self.activation == "sigmoid":
            found = 1 / (1 + np.exp(-found))
        return np.concatenate([1 - found, found], axis=1) if self.has_one_unit else found


def input_spec(meaning: Meaning) -> TensorSpec:
    """The input of the bundle: `features` FP32 [-1, n], or `image` UINT8 [-1, height, width, ...]."""
    if meaning.image:
        return meaning.image.spec
    return TensorSpec("features", "FP32", (-1, len(meaning.features)))


def result_spec(meaning: Meaning) -> TensorSpec:
    """The output of the bundle: `probabilities` FP32 [-1, labels] or `values` FP32 [-1, targets]."""
    columns = len(meaning.labels or meaning.targets)
    return TensorSpec("probabilities" if meaning.labels else "values", "FP32", (-1, columns))


def meaning_of(network: ForeignNetwork, said: Described, names: tuple[str, ...], where: str) -> Meaning:
    """What is said of the network, checked against its inputs and outputs; `names` are those of the samples' columns.

    Raises `CannotImport` where they contradict each other.
    """
    if said.tensors:
        return Meaning("tensors")
    _check_labels(said.labels, network.labels, where)
    labels = said.labels or network.labels
    if said.image:
        return _of_images(network, said, said.image, labels, where)
    told = said.labels or said.features or said.targets or said.logits or names
    reason = _no_features(network.inputs)
    if told:
        check_features(network.inputs, where)
    if reason or not (told or labels):
        return Meaning("tensors")
    count = network.inputs[0].shape[1]
    features = said.features or names or tuple(f"x{i + 1}" for i in range(count))
    if len(features) != count:
        raise CannotImport(f"{where}: {len(features)} names of features, and the network has {count}")
    if said.targets and said.labels:
        raise CannotImport(f"{where}: labels are of a classifier, and targets of a regression: give one of them")
    if labels and not said.targets:
        return _classifier(network, said, labels, where, features=features)
    return _regression(network, said, features, where)


def _regression(network: ForeignNetwork, said: Described, features: tuple[str, ...], where: str) -> Meaning:
    if said.logits:
        raise CannotImport(f"{where}: --logits is for a classifier: --labels names its classes")
    output = _only(_candidates(network, said, where), where)
    values = output.shape[1] if len(output.shape) == 2 else 1
    targets = said.targets or (
        (output.name,) if values == 1 else tuple(f"{output.name} {i + 1}" for i in range(values))
    )
    if len(targets) != values:
        raise CannotImport(f"{where}: {len(targets)} names of targets, and output {output.name!r} has {values} values")
    return Meaning("regression", features, None, (), targets, output)


def _of_images(
    network: ForeignNetwork, said: Described, image: ImageInput, labels: tuple[str, ...], where: str
) -> Meaning:
    """A classifier of pictures."""
    if said.features or said.targets or not labels:
        raise CannotImport(f"{where}: a network of pictures is a classifier: --labels names its classes")
    if len(network.inputs) != 1:
        raise CannotImport(f"{where}: it has {len(network.inputs)} inputs, and pictures are one")
    (given,) = network.inputs
    image.order_of(given, where)
    return _classifier(network, said, labels, where, image=image.for_input(given, where))


def _classifier(
    network: ForeignNetwork,
    said: Described,
    labels: tuple[str, ...],
    where: str,
    *,
    features: tuple[str, ...] = (),
    image: ImageInput | None = None,
) -> Meaning:
    output = _classifier_output(network, said, labels, where)
    one_unit = output.shape[1:] in ((), (1,))
    activation: Activation = "none" if not said.logits else "sigmoid" if one_unit else "softmax"
    task: Task = "binary" if len(labels) == 2 else "multiclass"
    return Meaning(task, features, image, labels, (), output, activation)


def check_probabilities(meaning: Meaning, predicted: NDArray[np.float64], raw: NDArray[np.generic], where: str) -> None:
    """Raise `CannotImport` unless all are 0 to 1 and those of a row add up to 1."""
    outside = predicted.min() < -SUM_TOLERANCE or predicted.max() > 1 + SUM_TOLERANCE
    if not outside and np.abs(predicted.sum(axis=1) - 1).max() <= SUM_TOLERANCE:
        return
    row = ", ".join(f"{value:.4g}" for value in np.ravel(raw[0])[:6])
    name = meaning.output.name if meaning.output else ""
    hint = "" if meaning.activation != "none" else ": if they are logits, --logits adds the softmax or sigmoid"
    raise CannotImport(
        f"{where}: output {name!r} of a row is [{row}], which are no probabilities{hint}; --tensors serves it as it is"
    )


def check_features(inputs: Sequence[TensorSpec], where: str) -> None:
    """Raise `CannotImport` unless the inputs are one vector of features."""
    if reason := _no_features(inputs):
        raise CannotImport(f"{where}: {reason}: --tensors, and nothing else, serves it as it is")


def _check_labels(said: Sequence[str], named: Sequence[str], where: str) -> None:
    """Raise `CannotImport` for labels that the file has too, in another order; other names for them are fine."""
    for i, label in enumerate(said):
        if label in named and (len(said) != len(named) or named[i] != label):
            raise CannotImport(
                f"{where}: the file names its classes {', '.join(named)}, in this order; --labels has {label!r} at "
                "another place: leave it out, or give other names in the order of the file"
            )


def _no_features(inputs: Sequence[TensorSpec]) -> str:
    """Why the inputs are no vector of features; empty if they are."""
    if len(inputs) != 1:
        return f"it has {len(inputs)} inputs ({', '.join(spec.name for spec in inputs)}), and rows of features are one"
    (spec,) = inputs
    if len(spec.shape) != 2 or spec.shape[1] == -1 or spec.datatype not in FLOATS:
        return f"its input {spec.name!r} is {spec.datatype} {list(spec.shape)}, and rows of features are FP32 [-1, n]"
    return ""


def _candidates(network: ForeignNetwork, said: Described, where: str) -> list[TensorSpec]:
    """The outputs that can be probabilities or values: numbers, one row each, of a known length."""
    if said.output and said.output not in {spec.name for spec in network.outputs}:
        names = ", ".join(spec.name for spec in network.outputs)
        raise CannotImport(f"{where}: no output {said.output!r}: its outputs are {names}")
    found = [
        one for one in network.outputs if one.datatype in FLOATS and len(one.shape) <= 2 and -1 not in one.shape[1:]
    ]
    return [one for one in found if said.output in ("", one.name)]


def _classifier_output(network: ForeignNetwork, said: Described, labels: tuple[str, ...], where: str) -> TensorSpec:
    classes = len(labels)
    fitting = [
        one
        for one in _candidates(network, said, where)
        if one.shape[1:] == (classes,) or (classes == 2 and one.shape[1:] in ((), (1,)))
    ]
    if not fitting:
        found = ", ".join(f"{one.name} {one.datatype} {list(one.shape)}" for one in network.outputs)
        message = f"{classes} labels ({', '.join(labels[:10])}), and no output of as many: {found}"
        raise CannotImport(f"{where}: {message}; --tensors serves it as it is")
    return _only(fitting, where)


def _only(found: list[TensorSpec], where: str) -> TensorSpec:
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "none is numbers"
        raise CannotImport(f"{where}: which output is it? --output names one ({names})")
    return found[0]
