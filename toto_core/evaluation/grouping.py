"""Sums and means within groups that are the same to the last digit in every run.

Polars adds up groups in parallel and in the order in which the parts are done, so the last digits
of a ``group_by`` mean differ from run to run. Verdicts must not.

Shapes: R rows, G groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Float64, Int64


@dataclass(frozen=True)
class Groups:
    """The groups of a table.

    Attributes:
        keys: one row for each group, sorted.
        codes: number of the group of each row of the table.
    """

    keys: pl.DataFrame
    codes: Int64[np.ndarray, " R"]

    @staticmethod
    def of(rows: pl.DataFrame, keys: Sequence[str]) -> "Groups":
        """Group the rows by their values of ``keys``."""
        columns = rows.select(keys)
        found = columns.unique().sort(keys)
        codes = columns.join(
            found.with_row_index("code"),
            on=list(keys),
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
        return Groups(found, codes["code"].to_numpy().astype(np.int64))

    def sums(self, values: Float[np.ndarray, " R"]) -> Float64[np.ndarray, " G"]:
        """Add up the values of each group in the order of the rows."""
        sums = np.bincount(self.codes, weights=values, minlength=self.keys.height)
        return sums.astype(np.float64)  # without rows they would be whole numbers

    def counts(self) -> Int64[np.ndarray, " G"]:
        """Return the number of rows of each group."""
        return np.bincount(self.codes, minlength=self.keys.height)


def group_means(rows: pl.DataFrame, keys: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
    """Average float columns within groups, in the order of the rows.

    Args:
        keys: what makes a group.
        columns: numbers without nulls.

    Returns:
        The keys, the float64 mean of each column and ``num_rows``; a row for each group, sorted.
    """
    groups = Groups.of(rows, keys)
    counts = groups.counts()
    return groups.keys.with_columns(
        *(
            pl.Series(name, groups.sums(rows[name].cast(pl.Float64).to_numpy()) / counts)
            for name in columns
        ),
        pl.Series("num_rows", counts, pl.Int64),
    )
