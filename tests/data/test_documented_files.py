"""The files and parameters that docs/data.md shows can be copied."""

import re
from pathlib import Path

import pytest
import yaml
from ingested import Ingested, ingest_params

TEXT = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
LAYOUTS = {
    "long": {"checkout-1/target": 2, "search-1/target": 1},
    "wide": {"checkout-1/target": 2, "search-1/target": 1},
    "per_file": {f"x/{name}": 1 for name in ("open", "high", "low", "close", "volume")},
    "gluonts": {"checkout-1/target": 2},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_file_of_each_layout_is_read_as_that_layout(tmp_path, layout):
    found = re.search(rf"\*\*{layout}\*\*.*?```(csv|json)\n(.*?)```", TEXT, re.DOTALL)
    assert found
    name = "x.csv" if found[1] == "csv" else "x.jsonl"
    (tmp_path / name).write_text(found[2])
    rows = Ingested(tmp_path, name, freq="1h").rows
    counts = rows.group_by("item_id", "variate").len()
    assert {f"{item}/{variate}": n for item, variate, n in counts.iter_rows()} == LAYOUTS[layout]


@pytest.mark.parametrize("source", ["prometheus", "sql"])
def test_parameters_of_each_server_are_valid(source):
    found = re.search(rf"```yaml\n(  source: {source}\n.*?)```", TEXT, re.DOTALL)
    assert found
    params = ingest_params(**yaml.safe_load(found[1]))
    assert params.source == source
