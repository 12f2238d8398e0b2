"""What training does to windows on the fly: one before and after for each augmentation."""

from html import escape

import numpy as np
import polars as pl

from toto_core.report.charts import Chart
from toto_core.report.markup import legend
from toto_core.report.ticks import padded, value_ticks

HEIGHT = 96


def augmentation_details(table: pl.DataFrame) -> str:
    """Return a panel for each augmentation, folded away; nothing where none is switched on.

    Args:
        table: ``reports/plots/augmentation.csv``.
    """
    panels = [
        _panel(str(name), rows)
        for (name,), rows in table.group_by("augmentation", maintain_order=True)
    ]
    if not panels:
        return ""
    key = legend([("naive thin", "as it is"), ("model", "as training saw it")])
    return (
        "<details><summary>What was changed on the fly</summary>"
        "<p>Each augmentation by itself, on one window from before the cut-off. How often it "
        f"comes stands in <code>train.augment</code>.</p>{key}"
        f'<div class="fans">{"".join(panels)}</div></details>'
    )


def _panel(name: str, rows: pl.DataFrame) -> str:
    steps, before, after = (
        rows[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        for column in ("step", "before", "after")
    )
    chart = Chart(
        x=(float(steps[0]), float(steps[-1])),
        y=padded(np.concatenate([before, after])),
        height=HEIGHT,
    )
    chart.line(steps, before, "naive thin")
    chart.line(steps, after, "model")
    chart.y_ticks(value_ticks(*chart.y, count=3))
    words = name.replace("_", " ")
    return (
        f'<figure><figcaption><span class="name">{escape(words)}</span></figcaption>'
        f'<div class="chart">{chart.svg(f"{words}: a window before and after")}</div></figure>'
    )
