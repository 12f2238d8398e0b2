"""Blocks of the forest and the table of tests."""

import re

import pytest

from toto_core.report.forest import Block, axis_of, forest
from toto_core.report.skill_part import finding, hardest
from toto_core.report.skill_part import test_table as table_of_tests


def row(p_value, skill=0.1):
    return {"skill": skill, "lower": skill - 0.1, "upper": skill + 0.1, "p_value": p_value}


@pytest.mark.parametrize(
    ("p_values", "said"),
    [
        ([0.01], "better than the one baseline"),
        ([0.5], "not shown to be better than the one baseline"),
        ([0.01, 0.05], "better than all 2 baselines"),
        ([0.95, 0.99], "worse than all 2 baselines"),
        ([0.01, 0.06, 0.99], "better than 1 of 3 baselines, worse than 1"),
        ([0.5, 0.5], "not shown to be better than any"),
        ([None, 0.99], "not shown to be better than any, worse than 1"),
    ],
)
def test_finding_counts_what_the_one_sided_test_shows(p_values, said):
    assert finding([("x", row(p)) for p in p_values]) == said


def test_hardest_is_the_baseline_with_the_lowest_skill():
    found = {"naive": row(0.1, 0.5), "base": row(0.1, 0.02), "drift": row(0.1, float("nan"))}
    assert hardest(found) == "base"
    assert hardest({}) == ""


def test_forest_colours_by_the_test_and_points_out_of_the_axis():
    rows = [("a", row(0.01, 0.4)), ("b", row(0.97, -0.3)), ("c", row(0.5, 0.0))]
    wide = {"skill": 0.1, "lower": -5.0, "upper": 5.0, "p_value": 0.4}
    blocks = [Block("t", "n = 3", rows), Block("u", "", [("d", wide)], sets_axis=False)]
    low, high = axis_of(blocks)
    assert (round(low, 3), round(high, 3)) == (-0.454, 0.554)  # 6 % of 0.9 beyond -0.4 and 0.5
    assert re.findall(r'class="point (\w+)"', forest(blocks[0], (low, high))) == [
        "good",
        "bad",
        "open",
    ]
    drawn = forest(blocks[1], (low, high))
    assert "\N{LEFTWARDS ARROW}" in drawn
    assert "\N{RIGHTWARDS ARROW}" in drawn


def test_forest_escapes_names():
    html = forest(Block("<i>", "<b>", [("<script>", row(0.1))]), (-1.0, 1.0))
    assert not re.search(r"<i>|<script>", html)


def test_table_of_tests_has_both_p_values_and_what_they_rest_on():
    found = {
        "naive": row(0.004)
        | {"loss_baseline": 1.2345, "loss_model": 1.1, "statistic": -2.5, "p_hln": 0.03}
        | {"df": 7, "n": 60, "h": 2, "h_eff": 3}
    }
    html = table_of_tests("T", found)
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", html.split("<tbody>")[1])
    percent = "\N{NARROW NO-BREAK SPACE}%"
    minus = "\N{MINUS SIGN}"
    assert cells == [
        *("no change", "1.234", f"10.0{percent}", f"0.0 to 20.0{percent}"),
        *(f"{minus}2.50", "7", "60", "2", "3", "0.0040", "0.0300"),
    ]
    assert "<caption>T; the model&#x27;s loss is 1.100</caption>" in html
    assert table_of_tests("T", {}) == ""
