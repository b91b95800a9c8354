"""Golden examples: a few inputs with the outputs that every runtime must give, checked whenever a bundle is opened."""

from typing import Any

import msgspec
import numpy as np

from service.bundle.loading import Contents
from service.bundle.manifest import GOLDEN, Bundle
from service.bundle.signature import NUMPY_DTYPES, Arrays
from service.errors import BundleError


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One batch of inputs, its outputs, and the absolute tolerance of each column of each output."""

    tolerance: dict[str, list[float]]
    inputs: dict[str, list[Any]]
    outputs: dict[str, list[Any]]


def read_golden(bundle: Bundle, contents: Contents) -> tuple[Arrays, Arrays, Arrays]:
    """The golden inputs, their outputs, and the absolute tolerances, broadcast to the outputs' shapes."""
    try:
        golden = msgspec.json.decode(contents[GOLDEN], type=Golden)
        specs = bundle.signature.inputs, bundle.signature.outputs
        inputs, outputs = (
            {spec.name: np.asarray(values[spec.name], NUMPY_DTYPES[spec.datatype]) for spec in side}
            for side, values in zip(specs, (golden.inputs, golden.outputs), strict=True)
        )
        tolerance = {name: np.broadcast_to(golden.tolerance[name], array.shape) for name, array in outputs.items()}
    except (msgspec.DecodeError, KeyError, ValueError, OverflowError) as error:
        raise BundleError(f"{GOLDEN}: {error}") from None
    return inputs, outputs, tolerance
