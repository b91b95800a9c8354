"""Numbers as people write them: with a decimal comma, separators of thousands, a percent sign or a currency."""

import polars as pl

UNIT = r"(?:[€$£¥%]|CHF|EUR|USD|GBP)"
UNITS = rf"^{UNIT}\s*|\s*{UNIT}$"
CODE = r"^0\d+$"  # a postcode, say, is no number


def looks_like_codes(text: pl.Series) -> bool:
    """Whether any cell has a leading zero, which a number would lose."""
    return bool(text.str.contains(CODE).any())


def parse_numbers(text: pl.Series, decimal: str, delimiter: str) -> pl.Series:
    """Text as FP64; None where it is missing, and where it is no finite number."""
    plain = _without_units(text)
    if separator := _thousands_separator(plain, decimal, delimiter):
        plain = plain.str.replace_all(separator, "", literal=True)
    if decimal == ",":
        plain = plain.str.replace(",", ".", literal=True)
    numbers = plain.cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite(), None)


def what_was_removed(text: pl.Series, decimal: str, delimiter: str) -> str:
    """What is not a part of the number in some cells, in words; empty if there is nothing."""
    units = text.str.extract(rf"({UNIT})").drop_nulls().unique(maintain_order=True).to_list()
    thousands = _thousands_separator(_without_units(text), decimal, delimiter)
    found = [*units, *(["separators of thousands"] if thousands else [])]
    return f"; without {', '.join(found)}, which requests must not have either" if found else ""


def _without_units(text: pl.Series) -> pl.Series:
    return text.str.replace_all(UNITS, "").str.strip_chars()


def _thousands_separator(text: pl.Series, decimal: str, delimiter: str) -> str:
    """The character between groups of three digits; empty if there is none."""
    other = "." if decimal == "," else ","
    if _separates_thousands(text, other, decimal):
        return other
    # 1.018 beside 998, in a table without a decimal comma
    return "." if decimal == "." and delimiter == ";" and _separates_thousands(text, ".", ",") else ""


def _separates_thousands(text: pl.Series, separator: str, decimal: str) -> bool:
    """Whether the separator is in some cells, and in those only between groups of three digits.

    Where it may be a decimal point, some numbers without it must be below a thousand.
    """
    having = text.filter(text.str.contains(separator, literal=True))
    grouped = rf"^[-+]?\d{{1,3}}(\{separator}\d{{3}})+(\{decimal}\d+)?$"
    if not len(having) or not having.str.contains(grouped).all():
        return False
    return separator == "," or (decimal == "," and bool(text.str.contains(r"^\d{1,3}(,\d+)?$").any()))
