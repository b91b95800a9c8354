"""Golden examples: a few inputs with the network's outputs, which every runtime must reproduce."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from service.bundle.golden import Golden
from service.bundle.manifest import Column
from service.bundle.signature import NUMPY_DTYPES, Signature, TensorSpec
from service.images.decoding import decode_image
from service.images.limits import PixelBudget
from training.networks.network import Network
from training.normaliser import normalise

SAMPLES = Path(__file__).parent.parent.parent / "samples"
MISSING_FRACTION = 0.2
GOLDEN_TOLERANCE = 1e-4  # as `verify.TOLERANCE`, but larger, as other devices round differently
RELATIVE_TOLERANCE = 1e-6  # of the number itself, added to that: FP32 has about seven digits


def golden_examples(
    network: Network,
    signature: Signature,
    features: tuple[Column, ...],
    targets: tuple[Column, ...],
    *,
    samples: bool = True,
) -> Golden:
    """A batch of inputs with the network's outputs: random feature vectors, or noise and, if so asked, `samples/`.

    There is no `samples/` where the wheel is installed: noise alone then.
    """
    (spec,) = signature.inputs
    rows = random_inputs(signature, features, rows=3, seed=0)[spec.name]
    if spec.datatype == "UINT8" and samples:
        pictures = [
            normalise(decode_image(path.read_bytes(), PixelBudget(64_000_000)).pixels)
            for path in sorted(SAMPLES.glob("*.png"))[:3]
        ]
        rows = np.stack([*pictures, *rows[:2]])
    with torch.inference_mode():
        arrays = network.all_outputs(torch.from_numpy(rows))
    outputs = {output.name: array for output, array in zip(signature.outputs, arrays, strict=True)}
    tolerance = {
        name: GOLDEN_TOLERANCE * column_scales(name, targets, array.shape[1])
        + RELATIVE_TOLERANCE * array.abs().amax(dim=0).numpy()
        for name, array in outputs.items()
    }
    return Golden(
        tolerance={name: array.tolist() for name, array in tolerance.items()},
        inputs={spec.name: rows.tolist()},
        outputs={name: array.tolist() for name, array in outputs.items()},
    )


def random_inputs(
    signature: Signature, features: tuple[Column, ...], rows: int, seed: int
) -> dict[str, NDArray[np.generic]]:
    """Random inputs that fit the signature: pixels 0 to 255, features within twice their range in the training data.

    A category is one of its codes, and every fifth value that may be missing is.
    """
    random = np.random.default_rng(seed)
    low = np.array([feature.minimum for feature in features])
    high = np.array([feature.maximum for feature in features])
    margin = (high - low) / 2

    def sample(spec: TensorSpec) -> NDArray[np.generic]:
        shape = (rows, *spec.shape[1:])
        if spec.datatype == "UINT8":
            return random.integers(0, 256, shape, np.uint8)
        values = random.uniform(low - margin, high + margin, shape).astype(NUMPY_DTYPES[spec.datatype])
        for i, feature in enumerate(features):
            if feature.categories:
                values[:, i] = random.integers(0, len(feature.categories), rows)
            if feature.may_be_missing:
                values[random.random(rows) < MISSING_FRACTION, i] = np.nan
        return values

    return {spec.name: sample(spec) for spec in signature.inputs}


def column_scales(output: str, targets: tuple[Column, ...], columns: int) -> NDArray[np.float64]:
    """The scale that differences in each column of an output are measured by: 1 for probabilities, the range of values.

    A mixture has weights, which are probabilities, and columns for one value.
    """
    if not targets or output == "weights":
        return np.ones(columns)
    return np.resize([target.maximum - target.minimum for target in targets], columns)
