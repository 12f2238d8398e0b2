"""How it learned: the loss curves, training in numbers and what was changed on the fly."""

import numpy as np
import polars as pl

from toto_core.report.augmentation_part import augmentation_details
from toto_core.report.charts import Chart
from toto_core.report.markup import Json, figure, legend, plain, section, table
from toto_core.report.ticks import padded, value_ticks

HEIGHT = 220
CENTRE = 9  # points of the moving average over the training loss


def training_section(loss: pl.DataFrame, augmentation: pl.DataFrame, train: Json) -> str:
    """Return the loss curves, and what was done to the windows."""
    lead = (
        "Training stops when the validation loss, on times that training has not seen, "
        "no longer falls. The test period plays no part in it. The two losses are not on one "
        "scale: training also asks for hidden stretches and synthetic series."
    )
    facts = [
        (name.replace("_", " "), plain(value))
        for name, value in sorted(train.items())
        if isinstance(value, int | float | str)
    ]
    details = ""
    if facts:
        rows = table(("figure", "value"), facts, caption="Training in numbers")
        details = f"<details><summary>Training in numbers</summary>{rows}</details>"
    body = loss_curve(loss) + details + augmentation_details(augmentation)
    return section("How it learned", lead, body)


def loss_curve(table_: pl.DataFrame) -> str:
    """Draw training and validation loss over the steps.

    Args:
        table_: column step and either one column for each loss or a text column with its name.
    """
    curves = _curves(table_)
    if not curves:
        return '<p class="note">No loss was recorded.</p>'
    last = max(float(x[-1]) for x, _ in curves.values())
    settled = np.concatenate([y[x >= 0.03 * last] for x, y in curves.values()])
    chart = Chart(x=(0.0, last), y=padded(settled), height=HEIGHT)
    chart.y_ticks(value_ticks(*chart.y))
    chart.x_ticks(value_ticks(0.0, last))
    chart.titles(x="optimiser step", y="quantile loss, normalised")
    key, best, labels = [], "", []
    for name in sorted(curves, key=lambda n: "val" in n):
        x, y = curves[name]
        if "val" in name:
            chart.line(x, y, "model")
            chart.dots(x, y, "dot")
            lowest = int(np.nanargmin(y))
            chart.upright(float(x[lowest]), "mark")
            best = f"The best validation loss, {y[lowest]:.4f}, came at step {x[lowest]:,.0f}"
            labels.append((float(y[-1]), "validation", "model"))
            key.append(("model", "validation, later times"))
        else:
            chart.line(x, y, "faint")
            chart.line(x, _smooth(y), "truth")
            labels.append((float(_smooth(y)[-1]), "training", "plain"))
            key.append(("truth", "training, smoothed"))
    chart.end_labels(labels)
    drawn = chart.svg(f"Loss by step. {best}")
    return figure(best or "Loss by step", drawn, key=legend(key), labelled=True)


def _curves(table_: pl.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    if "step" not in table_.columns:
        return {}
    names = [name for name, kind in table_.schema.items() if kind == pl.String]
    if names:
        parts = {str(key[0]): rows for key, rows in table_.group_by(names[0], maintain_order=True)}
        columns = {name: (rows, "loss") for name, rows in parts.items()}
    else:
        columns = {name: (table_, name) for name in table_.columns if "loss" in name}
    curves = {}
    for name, (rows, column) in columns.items():
        kept = rows.select("step", pl.col(column).cast(pl.Float64)).drop_nulls().drop_nans()
        if kept.height:
            curves[name] = (kept["step"].cast(pl.Float64).to_numpy(), kept[column].to_numpy())
    return curves


def _smooth(y: np.ndarray) -> np.ndarray:
    width = min(CENTRE, len(y))
    weights = np.ones(width)
    return np.convolve(y, weights, "same") / np.convolve(np.ones(len(y)), weights, "same")
