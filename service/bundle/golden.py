"""Golden examples: a few inputs with the outputs that every runtime must give, checked whenever a bundle is opened."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.bundle.loading import Contents
from service.bundle.manifest import GOLDEN
from service.bundle.signature import NUMPY_DTYPES, Arrays, Signature, SignatureMismatch
from service.errors import BundleError, RequestError


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One batch of inputs, its outputs, and the absolute tolerance of each column of each output."""

    tolerance: dict[str, list[float]]
    inputs: dict[str, list[Any]]
    outputs: dict[str, list[Any]]


def read_golden(signature: Signature, contents: Contents) -> tuple[Arrays, Arrays, Arrays]:
    """The golden inputs, their outputs, and the absolute tolerances, broadcast to the outputs' shapes."""
    try:
        golden = msgspec.json.decode(contents[GOLDEN], type=Golden)
        specs = signature.inputs, signature.outputs
        inputs, outputs = (
            {spec.name: np.asarray(values[spec.name], NUMPY_DTYPES[spec.datatype]) for spec in side}
            for side, values in zip(specs, (golden.inputs, golden.outputs), strict=True)
        )
        tolerance = {name: np.broadcast_to(golden.tolerance[name], array.shape) for name, array in outputs.items()}
    except (msgspec.DecodeError, KeyError, ValueError, OverflowError) as error:
        raise BundleError(f"{GOLDEN}: {error}") from None
    return inputs, outputs, tolerance


def check_golden(signature: Signature, contents: Contents, predict: Callable[[Arrays], Arrays], where: str) -> None:
    """Raise `BundleError` unless the golden inputs have the golden outputs; `where` is the runtime and the device."""
    inputs, expected, tolerance = read_golden(signature, contents)
    try:
        found = predict(inputs)
        signature.check_outputs(expected)
    except (RequestError, SignatureMismatch) as error:
        raise BundleError(f"{GOLDEN}: {error.__cause__ or error}") from error
    for name, array in expected.items():
        if found[name].shape != array.shape:
            raise BundleError(f"{GOLDEN}: {name} has shape {list(found[name].shape)}, expected {list(array.shape)}")
        difference, allowed = _difference(found[name], array), tolerance[name]
        if not (difference <= allowed).all():  # also if one is NaN
            at = np.unravel_index((np.nan_to_num(difference, nan=np.inf) - allowed).argmax(), difference.shape)
            place = ", ".join(str(index) for index in at[1:])
            raise BundleError(
                f"{GOLDEN}: example {at[0]}: {name}[{place}] is {_shown(found[name][at])} on {where}, "
                f"expected {_shown(array[at])} within {allowed[at]:g}"
            )


def _shown(value: Any) -> str:
    """A value of an output, for a message."""
    if isinstance(value, np.floating):
        return f"{value:.6g}"
    return repr(value.item() if isinstance(value, np.generic) else value)


def _difference(found: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """By how much numbers differ; of texts and booleans 0 where they are the same, and 1 where not."""
    if found.dtype.kind in "Ob":
        return np.asarray(found != expected, np.float64)
    return np.asarray(np.abs(np.subtract(found, expected, dtype=np.float64)))
