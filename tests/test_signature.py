import numpy as np
import pytest
from numpy.typing import NDArray

from service.bundle.signature import Signature, SignatureMismatch, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec("features", "FP32", (-1, 4)),), outputs=(TensorSpec("probabilities", "FP32", (-1, 3)),)
)


def test_arrays_that_fit_pass_at_any_batch_size() -> None:
    for rows in (0, 1, 17):
        SIGNATURE.check_inputs({"features": np.zeros((rows, 4), np.float32)})
        SIGNATURE.check_outputs({"probabilities": np.zeros((rows, 3), np.float32)})


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((1, 4)), "features is float64, expected FP32"),
        (np.zeros((1, 4), np.uint8), "features is UINT8, expected FP32"),
        (np.zeros((1, 3), np.float32), r"features has shape \[1, 3\], expected \[-1, 4\]"),
        (np.zeros(4, np.float32), r"features has shape \[4\], expected \[-1, 4\]"),
        (np.full((1, 4), np.nan, np.float32), "features holds NaN or an infinity"),
        (np.full((1, 4), np.inf, np.float32), "features holds NaN or an infinity"),
    ],
)
def test_an_array_that_does_not_fit_is_refused_naming_both_sides(array: NDArray[np.generic], words: str) -> None:
    with pytest.raises(SignatureMismatch, match=words):
        SIGNATURE.check_inputs({"features": array})


@pytest.mark.parametrize("names", [[], ["feature"], ["features", "more"]])
def test_other_names_are_refused(names: list[str]) -> None:
    with pytest.raises(SignatureMismatch, match=r"expected \['features'\]"):
        SIGNATURE.check_inputs({name: np.zeros((1, 4), np.float32) for name in names})
