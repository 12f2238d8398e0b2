"""The examples of docs/significance.md run, and it names every public function."""

import re
from pathlib import Path

from toto_core.evaluation import significance

PAGE = (Path(__file__).parents[2] / "docs" / "significance.md").read_text(encoding="utf-8")


def test_examples_run_in_their_order(capsys):
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok 0.")
    these, new = map(float, lines[2:4])
    assert these < 0.05 < new
    assert names["best"].included == ("model",)


def test_every_public_function_stands_in_the_table():
    functions = {name for name in significance.__all__ if name.islower()} - {"ewc_rows"}
    assert {name for name in functions if f"`{name}" not in PAGE} == set()
