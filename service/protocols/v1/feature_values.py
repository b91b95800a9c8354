"""Values of features as clients send them: numbers, words of categories, and nothing where a value may be missing."""

import difflib
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from service.bundle.features import MAX_NAMED, MISSING, codes_of, parse_number
from service.bundle.manifest import Column

MAX_SHOWN = 40  # characters of a value in a message


class UnknownValue(Exception):
    """A value is none of its feature; the message says what is expected."""


def names_of(features: Sequence[Column]) -> list[str]:
    """The names of features, in order."""
    return [feature.name for feature in features]


def feature_list(features: Sequence[Column]) -> str:
    """The names of features, for a message."""
    return ", ".join(feature.name for feature in features)


def value_type(feature: Column) -> Any:
    """The JSON values of a feature, as a type: a number, or one of its words; null too, if it may be missing."""
    kind: Any = float
    if feature.categories:
        kind = Literal[tuple(key for key in codes_of(feature) if isinstance(key, str))]
        for other in (float, bool):
            if any(type(key) is other for key in codes_of(feature)):
                kind |= other
    return kind | None if feature.may_be_missing else kind


def number_of(value: Any, feature: Column) -> float:
    """The number that the network gets for a JSON value of `value_type`; raises `UnknownValue`."""
    if not feature.categories:
        return math.nan if value is None else float(value)
    try:
        return codes_of(feature)[value]
    except KeyError:
        raise UnknownValue(f"{feature.name} = {value:g}: {expected_words(feature)}") from None


def number_in_cell(cell: str, feature: Column) -> float:
    """The same for a cell of CSV; raises `UnknownValue`."""
    text = cell.strip()
    if feature.may_be_missing and text in MISSING and text not in feature.categories:
        return math.nan
    if not text:
        raise UnknownValue(f"the cell is empty ({feature.name})")
    number = parse_number(text)
    if not feature.categories:
        if number is None:
            raise UnknownValue(f"{cell[:MAX_SHOWN]!r} is not a number ({feature.name})")
        return number
    codes = codes_of(feature)
    code = codes.get(text, codes.get(number))
    if code is None or math.isnan(code):
        raise UnknownValue(f"{feature.name} = {cell[:MAX_SHOWN]!r}: {expected_words(feature, text)}")
    return code


def expected_words(feature: Column, found: str = "") -> str:
    """What a feature with categories accepts, with a hint if a word is close to what was found."""
    words = feature.categories
    close = difflib.get_close_matches(found, words, n=1) if found else []
    hint = f"did you mean {close[0]!r}? " if close else ""
    more = f", and {len(words) - MAX_NAMED} more" if len(words) > MAX_NAMED else ""
    more += "; null or an empty cell where it is missing" if feature.may_be_missing else ""
    return f"{hint}expected one of {', '.join(map(repr, words[:MAX_NAMED]))}{more}"


def rule_at(path: str, features: Sequence[Column]) -> str:
    """What is expected at a path such as `instances[3][1]` or `instances[3].colour`; empty for another path."""
    matched = re.fullmatch(r"instances\[\d+\](?:\[(\d+)\]|\.(.*))", path)
    if not matched:
        return ""
    index, name = matched.groups()
    found = [one for i, one in enumerate(features) if one.categories and (str(i) == index or one.name == name)]
    return f": {expected_words(found[0])}" if found else ""
