"""What validation did, in numbers that must add up."""

from collections import Counter
from dataclasses import dataclass, field

from toto_core.data import rules


@dataclass
class Counts:
    """What validation did, in numbers; shards add up.

    Attributes:
        rows_in: rows that carry a value, those that ingest could not parse among them.
        rows_without_value: rows that carry none (a missed scrape); they are part of no other count.
        rows_valid: of ``rows_in``, counted where they are on the grids.
        rows_repaired: of ``rows_valid``, those whose time stamp or value was mended.
        missing: points of the grids without a value.
        series_mostly_zero: valid series with more than ``sieve.MOSTLY_ZERO`` zeros.
        rule_rows: quarantined rows by rule.
        rule_series: series that were quarantined whole, or lost rows, by rule.
        repairs: rows by name of the repair; a row may need several.
    """

    rows_in: int = 0
    rows_without_value: int = 0
    rows_valid: int = 0
    rows_repaired: int = 0
    series_in: int = 0
    series_valid: int = 0
    series_quarantined: int = 0
    series_mostly_zero: int = 0
    missing: int = 0
    rule_rows: Counter[str] = field(default_factory=Counter)
    rule_series: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)

    @property
    def rows_quarantined(self) -> int:
        """Quarantined rows, all rules together."""
        return self.rule_rows.total()

    def add(self, other: "Counts") -> None:
        """Add the counts of another part of the same data set."""
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    def totals(self) -> dict[str, int]:
        """The counts that are single numbers, by name."""
        numbers = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        return {**numbers, "rows_quarantined": self.rows_quarantined}

    def to_json(self) -> dict[str, object]:
        """All counts, with each rule and each repair named, those at zero too."""
        by_rule = {
            rule: {"rows": self.rule_rows[rule], "series": self.rule_series[rule]}
            for rule in (*rules.ROW_RULES, *rules.SERIES_RULES)
        }
        repairs = {repair: self.repairs[repair] for repair in rules.REPAIRS}
        return {**self.totals(), "rules": by_rule, "repairs": repairs}

    def check(self) -> None:
        """Prove that no row and no series was lost or counted twice.

        Raises:
            RuntimeError: if one was, which is a fault of this program.
        """
        for kind in ("rows", "series"):
            found, valid, bad = (
                getattr(self, f"{kind}_{part}") for part in ("in", "valid", "quarantined")
            )
            if found != valid + bad:
                raise RuntimeError(
                    f"validate: {kind}_in = {found}, but {kind}_valid + {kind}_quarantined = "
                    f"{valid} + {bad}; a fault of the program, report it"
                )
