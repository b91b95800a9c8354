"""The part of a recipe that says which table it is trained on, and what its columns are."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from service.bundle.features import MISSING

Decimal = Literal[".", ","]
HeldOutFraction = Annotated[float, Meta(gt=0, le=0.5)]


class TableColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A feature: a number, or one of the words `categories`."""

    name: str
    kind: Literal["number", "category"] = "number"
    categories: tuple[str, ...] = ()
    """In the order of their codes."""
    may_be_missing: bool = False
    """Whether its cell may be empty, in training and in requests."""

    def __post_init__(self) -> None:
        if (self.kind == "category") != bool(self.categories):
            rule = "a category lists its words as categories = [...], and a number has none"
            raise ValueError(f"column {self.name!r}: {rule}")


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file with one row for each example: CSV, TSV or Parquet. Columns that are not named are not used."""

    path: str
    targets: Annotated[tuple[str, ...], Meta(min_length=1)]
    """One column of classes, or one or more columns of values."""
    labels: tuple[str, ...] = ()
    """The classes, as they are in the file; empty for a regression."""
    features: Annotated[tuple[TableColumn, ...], Meta(min_length=1)]
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    decimal: Decimal = "."
    encoding: str = "utf-8"
    missing: tuple[str, ...] = MISSING
    """The words that stand for a missing value."""
    held_out: HeldOutFraction = 0.2
    """Fraction of the rows that the metrics are computed on; they are drawn by the seed."""
    source: str = ""
    """Where the data is from; the file, if that is not said."""
    licence: str = "not stated"

    def __post_init__(self) -> None:
        names = [*self.targets, *(feature.name for feature in self.features)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"column {twice[0]!r} is named twice")

    @property
    def encoded_inputs(self) -> int:
        """Inputs of the first layer: one a number, one a category, and one for each feature that may be missing."""
        return sum(max(1, len(one.categories)) + one.may_be_missing for one in self.features)
