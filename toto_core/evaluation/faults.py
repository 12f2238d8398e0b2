"""What was wrong with forecasts that somebody else made, by series: nothing is dropped unnamed.

Shapes: N origins, H prediction length, Q quantile levels.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from jaxtyping import Float32, Int64

MISSING = "missing forecasts"
NOT_FINITE = "quantiles that are not finite"
CROSSING = "crossing quantiles"
OTHER_ORIGINS = "origins that are not judged"
UNKNOWN_SERIES = "unknown series"
REVISED = "revised targets"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Fault:
    """One kind of fault of one series.

    Attributes:
        num_origins: origins that have it; ``first`` is the earliest, ISO 8601 in UTC.
    """

    fault: str
    item_id: str
    variate: str
    num_origins: int
    first: str

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)


@dataclass
class Faults:
    """The faults found so far, and the pairs of series and origin whose truth was revised."""

    found: list[Fault] = field(default_factory=list)
    revised: list[tuple[str, str, int]] = field(default_factory=list)

    def note(
        self, fault: str, series: tuple[str, str], origins_us: Int64[np.ndarray, " N"]
    ) -> None:
        """Note a fault of a series at some origins; none of them is no fault."""
        if len(origins_us):
            first = (_EPOCH + timedelta(microseconds=int(origins_us.min()))).isoformat()
            self.found.append(Fault(fault, *series, len(origins_us), first))

    def sift(
        self,
        quantiles_NHQ: Float32[np.ndarray, "N H Q"],
        series: tuple[str, str],
        origins_us: Int64[np.ndarray, " N"],
    ) -> Float32[np.ndarray, "N H Q"]:
        """Note what is no forecast, and return the quantiles with NaN at the whole origin."""
        finite_NHQ = np.isfinite(quantiles_NHQ)
        missing_N = np.isnan(quantiles_NHQ).all(axis=(1, 2))
        broken_N = ~finite_NHQ.all(axis=(1, 2)) & ~missing_N
        known_NHQ = np.where(finite_NHQ, quantiles_NHQ, np.float32(0))
        crossing_N = (np.diff(known_NHQ, axis=-1) < 0).any(axis=(1, 2)) & finite_NHQ.all(
            axis=(1, 2)
        )
        for fault, is_bad_N in (
            (MISSING, missing_N),
            (NOT_FINITE, broken_N),
            (CROSSING, crossing_N),
        ):
            self.note(fault, series, origins_us[is_bad_N])
        bad_N11 = np.asarray(missing_N | broken_N | crossing_N)[:, None, None]
        return np.where(bad_N11, np.float32(np.nan), quantiles_NHQ)

    def in_order(self) -> list[Fault]:
        """All faults by kind and series."""
        return sorted(self.found, key=lambda fault: (fault.fault, fault.item_id, fault.variate))


def lines(faults: Sequence[Fault], *, most: int) -> list[str]:
    """Say each kind of fault in one line, with its first series.

    Args:
        most: series that a line names.
    """
    told = []
    for kind in dict.fromkeys(fault.fault for fault in faults):
        own = [fault for fault in faults if fault.fault == kind]
        names = [f"{fault.item_id}/{fault.variate} ({fault.num_origins})" for fault in own[:most]]
        more = f" and {len(own) - most} more" if len(own) > most else ""
        told.append(f"{kind}: {len(own)} series (origins): {', '.join(names)}{more}")
    return told
