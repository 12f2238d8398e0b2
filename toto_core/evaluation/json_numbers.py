"""Numbers as they stand in JSON."""

import math


def number(value: object) -> float:
    """Return a number as it stands in JSON; anything else is NaN."""
    return float(value) if isinstance(value, int | float) else math.nan
