"""What each column of a table is: a number, a category, or of no use to a network; and why."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from service.bundle.features import MISSING
from training.errors import DataUnavailable
from training.recipes.table import TableColumn
from training.tables.numbers import looks_like_codes, what_was_removed
from training.tables.reading import RawTable

MAX_CATEGORIES = 100  # of a feature
MANY_ROWS = 20  # from which all values of a column being different means something
IDENTIFIER_FRACTION = 0.95  # of the texts are different
MISTAKES = 0.2  # up to this fraction of texts, a column of numbers has mistakes; above it, it is a category
SHOWN = 3  # cells in a message
IDENTIFIER_NAME = re.compile(r"(.*[ _.-])?(id|uuid|guid|key|index|row|nr|no|number|column 1|unnamed: 0)", re.IGNORECASE)
DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}( .*)?")


@dataclass(frozen=True)
class Described:
    """A column, with what was found in words; `feature` is None where it is left out.

    `doubt` is what may have been read in another way than it was meant; mostly empty.
    """

    name: str
    feature: TableColumn | None
    reason: str
    doubt: str = ""


def describe(table: RawTable, name: str, targets: Sequence[pl.Series], *, classes: bool) -> Described:
    """What a column is; raises `DataUnavailable` for text in a column of numbers.

    `targets` are the columns that are predicted: a copy of one is left out, and other words for the same `classes`.
    """
    text = table.column(name)
    present = text.drop_nulls()
    if not len(present):
        return Described(name, None, "all cells are empty")
    missing = len(text) - len(present)
    doubt = "; ".join(filter(None, (doubtful_missing(table, name), doubtful_numbers(table, present))))
    if present.n_unique() == 1:
        return Described(name, None, f"it is {present[0]!r} in every row{_empty_cells(missing)}")
    if any(text.equals(target, null_equal=True) or (classes and _renames(text, target)) for target in targets):
        return Described(name, None, "it says the same as the target, which will not be known")
    if all(DATE.fullmatch(cell) for cell in present.head(MANY_ROWS)):
        return Described(name, None, "dates: make numbers of them, such as an age in days or a weekday")
    if is_numeric(table, present):
        removed = what_was_removed(present, table.format.decimal, table.format.delimiter)
        found = _describe_numbers(name, check_numbers(table, text), f"{removed}{_empty_cells(missing)}")
        return replace(found, doubt=doubt)
    found = _describe_text(name, present, missing)
    return replace(found, doubt=doubt or _doubtful_categories(found, present))


def doubtful_missing(table: RawTable, name: str) -> str:
    """Words that were taken for a missing value, and may be a word; empty if there are none."""
    cells = table.columns[name]
    words = [word for word in MISSING if word.isalpha() and (cells == word).any()]
    counts = ", ".join(f"{word!r} ({(cells == word).sum():,} rows)" for word in words)
    return f"{counts} is read as a missing value; `missing` in a recipe file says what is" if words else ""


def doubtful_numbers(table: RawTable, present: pl.Series) -> str:
    """Numbers with a point that may separate thousands; empty if there are none.

    Cells are separated by semicolons, as where the decimal point is a comma, and all have three digits after the point.
    """
    if table.format.delimiter != ";" or table.format.decimal != ".":
        return ""
    having = present.filter(present.str.contains(".", literal=True))
    if not len(having) or not having.str.contains(r"^[-+]?\d{1,3}\.\d{3}(\D|$)").all():
        return ""
    if table.numbers(having.head(1))[0] >= 1000:  # taken for thousands already
        return ""
    thousands = having[0].replace(".", "")
    return f'{having[0]} is read with a decimal point; decimal = "," in a recipe file makes it {thousands}'


def _doubtful_categories(found: Described, present: pl.Series) -> str:
    """A word that is in one row alone, as a total may be; empty if there is none, or if there are many."""
    if found.feature is None or len(present) < MANY_ROWS:
        return ""
    counts = present.value_counts()
    once = counts.filter(pl.col("count") == 1)[present.name].to_list()
    return f"{once[0]!r} is in one row alone: is it a total?" if len(once) == 1 and len(counts) > 1 else ""


def is_numeric(table: RawTable, present: pl.Series) -> bool:
    """Whether all cells are numbers, but for mistakes, and no codes with leading zeros."""
    return not looks_like_codes(present) and table.numbers(present).null_count() <= MISTAKES * len(present)


def check_numbers(table: RawTable, text: pl.Series) -> pl.Series:
    """The numbers in a column, None where it is empty; raises `DataUnavailable` for cells that are no numbers."""
    numbers = table.numbers(text)
    rows = (text.is_not_null() & numbers.is_null()).arg_true().to_list()
    if not rows:
        return numbers
    cells = ", ".join(f"{text[row]!r} (line {table.line(row)})" for row in rows[:SHOWN])
    raise DataUnavailable(
        f"{table.path}: column {text.name!r} holds numbers, but {len(rows):,} of its cells are none: {cells}"
        f"{', ...' if len(rows) > SHOWN else ''}; correct them, or empty them where the value is missing"
    )


def _renames(text: pl.Series, target: pl.Series) -> bool:
    """Whether each value of a column goes with one class, and the other way round."""
    pairs = pl.DataFrame({"text": text, "target": target}).drop_nulls().unique()
    return len(pairs) == pairs["target"].n_unique() == pairs["text"].n_unique()


def _describe_numbers(name: str, numbers: pl.Series, remarks: str) -> Described:
    present = numbers.drop_nulls()
    if _is_identifier(name, present):
        return Described(name, None, "it seems to be an identifier: every value is different")
    low, high = (float(present.quantile(fraction) or 0) for fraction in (0, 1))
    return Described(
        name, TableColumn(name, may_be_missing=len(present) < len(numbers)), f"{low:g} to {high:g}{remarks}"
    )


def _describe_text(name: str, present: pl.Series, missing: int) -> Described:
    count = present.n_unique()
    if count > IDENTIFIER_FRACTION * len(present) and len(present) > MANY_ROWS:
        return Described(name, None, f"it seems to be an identifier or free text: {count:,} different texts")
    if count > MAX_CATEGORIES:
        return Described(name, None, f"{count:,} different texts: at most {MAX_CATEGORIES} categories")
    words = tuple(sorted(present.unique().to_list()))
    feature = TableColumn(name, "category", words, may_be_missing=missing > 0)
    shown = ", ".join(words[:SHOWN]) + (", ..." if count > SHOWN else "")
    remarks = f"{differing_in_case(words)}{_empty_cells(missing)}"
    return Described(name, feature, f"{count} categories: {shown}{remarks}")


def differing_in_case(words: Sequence[str]) -> str:
    """Words that may be one, as a remark; empty if there are none."""
    seen: dict[str, str] = {}
    for word in words:
        other = seen.setdefault(word.casefold(), word)
        if other != word:
            return f"; {other!r} and {word!r} differ only in case: if they are one word, make them one"
    return ""


def _is_identifier(name: str, numbers: pl.Series) -> bool:
    """Whether all are different whole numbers, and are counted up in equal steps or named as identifiers are."""
    if len(numbers) <= MANY_ROWS or numbers.n_unique() < len(numbers) or not (numbers == numbers.round()).all():
        return False
    steps = numbers.sort().diff().drop_nulls()
    return steps.n_unique() == 1 or IDENTIFIER_NAME.fullmatch(name) is not None


def _empty_cells(missing: int) -> str:
    return f"; {missing:,} empty cells" if missing else ""
