"""The examples of docs/significance.md run, and it names every public function."""

import re
from pathlib import Path

import numpy as np
import polars as pl

from toto_core.evaluation import significance

PAGE = (Path(__file__).parents[2] / "docs" / "significance.md").read_text(encoding="utf-8")


def finished_run(folder):
    """Write losses of three forecasters on two series, one of them held out."""
    rng = np.random.default_rng(0)
    frames = [
        pl.DataFrame(
            {
                "item_id": item,
                "held_out": item == "b",
                "source": "candidate",
                "origin": range(60),
                "forecaster": name,
                "sql": loss + 0.1 * rng.random(60) + (item == "b"),
            }
        )
        for name, loss in (("model", 1.0), ("naive", 1.3), ("drift", 1.4))
        for item in ("a", "b")
    ]
    (folder / "data").mkdir()
    pl.concat(frames).write_parquet(folder / "data" / "losses.parquet")


def test_examples_run_in_their_order(capsys, tmp_path, monkeypatch):
    finished_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok 0.")
    assert float(lines[2]) < 1e-6
    assert names["losses"].keys() == {"model", "naive", "drift"}
    assert np.all(names["losses"]["model"] < 1.1)
    these, new = map(float, lines[3:5])
    assert these < 0.05 < new
    assert names["best"].included == ("model",)


def test_every_public_function_stands_in_the_table():
    functions = {name for name in significance.__all__ if name.islower()} - {"ewc_rows"}
    assert {name for name in functions if f"`{name}" not in PAGE} == set()
