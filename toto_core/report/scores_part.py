"""Every forecaster in every measure: one table, and what the measures mean."""

import math
from collections.abc import Callable

from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import MODEL, in_order
from toto_core.report.markup import Json, minus, percent_text, section, table
from toto_core.report.palette import title_of


def _three(value: float) -> str:
    return minus(f"{value:.3f}")


def _four(value: float) -> str:
    return minus(f"{value:.4g}")


# Key in ``pooled``, title, how it is written, what it is.
MEASURES: tuple[tuple[str, str, Callable[[float], str], str], ...] = (
    ("sql", "SQL", _three, "loss of nine quantiles over the usual seasonal change; the gate's"),
    ("mase", "MASE", _three, "absolute error of the median over the same"),
    ("wql", "WQL", _three, "quantile loss of all over the sum of the values (GIFT-Eval's CRPS)"),
    ("owa", "OWA", _three, "mean of sMAPE and MASE, each over that of the reference of M4"),
    ("smape", "sMAPE", percent_text, "absolute error over the mean of forecast and truth"),
    ("msis80", "MSIS", _three, "width of the 80 % interval and what misses it, scaled"),
    ("winkler80", "Winkler", _four, "the same in the units of the values, all scales mixed"),
    ("mae", "MAE", _four, "absolute error in the units of the values"),
    ("rmse", "RMSE", _four, "root of the mean squared error, the same"),
    ("r2_vs_naive", "R2", _three, "1 - squared error / that of no change; not ordinary R2"),
)


def scores_section(evaluate: Json) -> str:
    """Return the table of pooled scores; empty where there are none."""
    pooled = evaluate.get("pooled") or {}
    shown = [m for m in MEASURES if math.isfinite(number((pooled.get(MODEL) or {}).get(m[0])))]
    if not shown:
        return ""
    rows = [
        (title_of(name), *(write(number(pooled[name].get(key))) for key, _, write, _ in shown))
        for name in in_order(pooled)
    ]
    listed = table(("forecaster", *(title for _, title, _, _ in shown)), rows, sortable=True)
    best = sum(_is_best(pooled, key) for key, _, _, _ in shown)
    lead = (
        f"The model is the best of {len(rows)} in {best} of {len(shown)} measures, averaged over "
        "all forecast values of the seen series. Only SQL decides; agreement of the others says "
        "that the answer does not hang on the measure."
    )
    meanings = "".join(f"<dt>{title}</dt><dd>{text}</dd>" for _, title, _, text in shown)
    return section("In other measures", lead, f'{listed}<dl class="meanings">{meanings}</dl>')


def _is_best(pooled: Json, key: str) -> bool:
    """Whether no other is better; of R2 more is better, of everything else less."""
    sign = -1 if key.startswith("r2") else 1
    values = {name: sign * number(found.get(key)) for name, found in pooled.items()}
    return all(values[MODEL] <= value for value in values.values() if math.isfinite(value))
