"""Features that are not plain numbers: categories, which are codes in the network's input, and missing values (NaN)."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Column
from service.bundle.signature import NotFinite, SignatureMismatch

Floats = NDArray[np.float32]
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "?", "-", "#N/A", "#NV", "<NA>")
"""What stands for a missing value in a table, as pandas, R and spreadsheets write it."""

MAX_NAMED = 10  # categories in a message


def has_special_features(features: tuple[Column, ...]) -> bool:
    """Whether any feature has categories, or may be missing."""
    return any(feature.categories or feature.may_be_missing for feature in features)


def check_values(features: tuple[Column, ...], rows: Floats) -> None:
    """Check FP32 [n, features]: codes of categories, no NaN where no value may be missing, no infinity.

    Raises `NotFinite`, or `SignatureMismatch` for a code; the message names row and feature, and what is expected.
    """
    may_be_missing, counts = _rules(features)
    missing = np.isnan(rows)
    not_finite = np.isinf(rows) | (missing & ~may_be_missing)
    if not_finite.any():
        row, column = np.argwhere(not_finite)[0]
        if np.isnan(rows[row, column]):
            raise NotFinite(f"row {row}: {features[column].name} is missing, and may not be")
        raise NotFinite(f"row {row}: {features[column].name} = {rows[row, column]:g}, expected a finite number")
    no_code = (counts > 0) & ~missing & ((rows != np.rint(rows)) | (rows < 0) | (rows >= counts))
    if no_code.any():
        row, column = np.argwhere(no_code)[0]
        feature = features[column]
        codes = ", ".join(f"{code} ({word})" for code, word in enumerate(feature.categories[:MAX_NAMED]))
        more = f", ... {len(feature.categories) - 1}" if len(feature.categories) > MAX_NAMED else ""
        raise SignatureMismatch(f"row {row}: {feature.name} = {rows[row, column]:g}, expected one of {codes}{more}")


@functools.lru_cache(256)
def _rules(features: tuple[Column, ...]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """For each feature whether it may be missing, and how many categories it has."""
    return (
        np.array([feature.may_be_missing for feature in features]),
        np.array([len(feature.categories) for feature in features]),
    )


@functools.lru_cache(256)
def codes_of(feature: Column) -> Mapping[Any, float]:
    """The number for each word of a feature with categories: its index; and NaN for None, if it may be missing.

    Where all words are numbers, as of a class of ticket, each number has the code of its word too; and true and false,
    `True` and `False` have those of the words `true` and `false`.
    """
    codes: dict[Any, float] = {word: float(code) for code, word in enumerate(feature.categories)}
    numbers = [parse_number(word) for word in feature.categories]
    if None not in numbers and len(set(numbers)) == len(numbers):
        codes |= {number: float(code) for code, number in enumerate(numbers)}
    lower = [word.lower() for word in feature.categories]
    if sorted(lower) == ["false", "true"]:
        codes |= {word == "true": float(code) for code, word in enumerate(lower)}
        codes |= {word.title(): float(code) for code, word in enumerate(lower)}
    if feature.may_be_missing:
        codes[None] = math.nan
    return codes


def parse_number(text: str) -> float | None:
    """The number in a text, or None. Python's other spellings (nan, inf, 1_000) are not accepted."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and text.isascii() and "_" not in text else None
