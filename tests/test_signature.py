"""Signatures: which arrays match the inputs and outputs of a model."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.bundle.signature import Signature, SignatureMismatch, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec("features", "FP32", (-1, 4)),), outputs=(TensorSpec("probabilities", "FP32", (-1, 3)),)
)


def test_matching_arrays_are_accepted_at_any_batch_size() -> None:
    for rows in (0, 1, 17):
        SIGNATURE.check_inputs({"features": np.zeros((rows, 4), np.float32)})
        SIGNATURE.check_outputs({"probabilities": np.zeros((rows, 3), np.float32)})


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 4)), "features is FP64, expected FP32"),
        (np.zeros((1, 4), np.uint8), "features is UINT8, expected FP32"),
        (np.zeros((1, 3), np.float32), r"features has shape \[1, 3\], expected \[-1, 4\]"),
        (np.zeros(4, np.float32), r"features has shape \[4\], expected \[-1, 4\]"),
        (np.full((1, 4), np.nan, np.float32), "features contains NaN or an infinity"),
        (np.full((1, 4), np.inf, np.float32), "features contains NaN or an infinity"),
    ],
)
def test_a_mismatch_is_an_error_that_names_the_found_and_the_expected(array: NDArray[np.generic], message: str) -> None:
    with pytest.raises(SignatureMismatch, match=message):
        SIGNATURE.check_inputs({"features": array})


def test_outputs_are_checked_as_inputs_are() -> None:
    with pytest.raises(SignatureMismatch, match=r"probabilities has shape \[1, 2\], expected \[-1, 3\]"):
        SIGNATURE.check_outputs({"probabilities": np.zeros((1, 2), np.float32)})
    with pytest.raises(SignatureMismatch, match=r"found \['features'\], expected \['probabilities'\]"):
        SIGNATURE.check_outputs({"features": np.zeros((1, 3), np.float32)})


@pytest.mark.parametrize("names", [[], ["feature"], ["features", "more"]])
def test_missing_unknown_and_additional_names_are_errors(names: list[str]) -> None:
    with pytest.raises(SignatureMismatch, match=r"expected \['features'\]"):
        SIGNATURE.check_inputs({name: np.zeros((1, 4), np.float32) for name in names})
