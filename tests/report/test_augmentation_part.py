"""The report shows a window before and after each augmentation, gaps as gaps."""

import re

import polars as pl

from toto_core.report.augmentation_part import augmentation_details


def test_each_augmentation_has_a_panel_with_two_lines():
    table = pl.DataFrame(
        {
            "augmentation": ["time_flip"] * 3 + ["gaps"] * 3,
            "step": [0, 1, 2] * 2,
            "before": [1.0, 2.0, 3.0, 1.0, 2.0, 1.0],
            "after": [3.0, 2.0, 1.0, 1.0, None, 1.0],
        }
    )
    html = augmentation_details(table)
    assert re.findall(r'class="name">([^<]*)<', html) == ["time flip", "gaps"]
    paths = re.findall(r'<path class="line ([^"]*)" d="([^"]*)"', html)
    assert [css for css, _ in paths] == ["naive thin", "model"] * 2
    assert [path.count("M") for _, path in paths] == [1, 1, 1, 2]


def test_panel_of_nothing_but_missing_points_is_drawn():
    table = pl.DataFrame(
        {"augmentation": ["variate_dropout"], "step": [0], "before": [1.0], "after": [None]}
    )
    assert "variate dropout" in augmentation_details(table)


def test_run_without_augmentation_has_no_panels():
    schema = {"augmentation": pl.String, "step": pl.Int64, "before": pl.Float64}
    assert augmentation_details(pl.DataFrame(schema=schema | {"after": pl.Float64})) == ""
