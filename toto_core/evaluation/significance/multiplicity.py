"""P-values for many questions at once."""

from typing import Literal

import numpy as np
from jaxtyping import Float

Correction = Literal["holm", "bh", "by"]


def adjusted_p_values(p: Float[np.ndarray, " m"], *, method: Correction) -> Float[np.ndarray, " m"]:
    """Return p-values that may each be compared with the level meant for all of them.

    Nothing needs adjusting where *every* test must reject, as against each baseline of the gate.

    Args:
        p: in any order.
        method: ``holm`` (Holm 1979) bounds the chance of a single false discovery under any
            dependence; ``bh`` (Benjamini and Hochberg 1995) the share of false ones among the
            discoveries, for independent or positively dependent tests; ``by`` (Benjamini and
            Yekutieli 2001) the same under any dependence.

    Raises:
        ValueError: for values outside 0 to 1, NaN among them, or another method.
    """
    wrong = int(np.count_nonzero(~((p >= 0) & (p <= 1))))
    if wrong:
        raise ValueError(
            f"adjusted_p_values: {wrong} of {p.size} values are not within 0 to 1; leave out the "
            "tests that are inconclusive, and count them"
        )
    if method == "holm":
        order = np.argsort(p, kind="stable")
        steps = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
        adjusted = np.empty_like(p)
        adjusted[order] = steps
        return adjusted
    if method in ("bh", "by"):
        # Here and not above: importing scipy.stats takes longer than all other tests together.
        from scipy.stats import false_discovery_control  # noqa: PLC0415

        return np.asarray(false_discovery_control(p, method=method))
    raise ValueError(
        f"adjusted_p_values: method = {method!r}, holm, bh or by is needed; choose one"
    )
