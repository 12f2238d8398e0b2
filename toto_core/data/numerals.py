"""Numbers as files write them."""

from typing import Final

import polars as pl

# Words that stand for no value, and for one and zero.
EMPTY_WORDS: Final = ("", "na", "n/a", "null", "none", "-")
TRUTHS: Final = {"true": "1", "false": "0"}


def numbers(column: pl.Series, *, decimal_comma: bool = False) -> tuple[pl.Series, pl.Series]:
    """Return a column as Float32, null where it holds no number, and where it holds something else.

    Truth values are 1 and 0; blank text and the usual words for nothing are empty, not wrong.

    Args:
        column: of any type.
        decimal_comma: whether its text writes 1.234,5 for 1234.5.
    """
    written = with_points(column) if decimal_comma and column.dtype == pl.String else column
    values = written.cast(pl.Float32, strict=False)
    wrong = values.is_null() & column.is_not_null()
    if column.dtype == pl.String and wrong.any():
        rows = wrong.arg_true()
        text = written.gather(rows).str.strip_chars().str.to_lowercase()
        truth = text.replace_strict(TRUTHS, default=text)
        values = values.scatter(rows, truth.cast(pl.Float32, strict=False))
        wrong = values.is_null() & column.is_not_null()
        wrong = wrong.scatter(rows.filter(text.is_in(EMPTY_WORDS)), values=False)
    return values, wrong


def with_points(text: pl.Series) -> pl.Series:
    """Text with the decimal comma in that with the decimal point."""
    return text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
