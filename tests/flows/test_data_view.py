"""``toto data``: what validation kept and rejected, as a reader sees it."""

import numpy as np
import polars as pl
import pytest
from test_validate import fleet, params, set_value, write_series

from flows import cli, data_view, paths, validate
from toto_core.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Four items: s0 and s3 whole, s1 with faults, s2 without memory."""
    root = tmp_path_factory.mktemp("project")
    table = set_value(fleet(), "s1", "cpu", 5, float("inf"))
    table = set_value(table, "s1", "cpu", 6, 1e6)
    flat = (pl.col("item_id") == "s2") & (pl.col("variate") == "memory")
    table = table.with_columns(value=pl.when(flat).then(2.0).otherwise("value").cast(pl.Float32))
    write_series(
        root, table, rejected=[("lost", "cpu", "soon", "3", "unparsable_timestamp", "a.csv")]
    )
    validate.run(params(bounds={"cpu": (-9, 9)}, max_quarantined=1), root)
    return root


def test_item_is_shown_with_its_variates_values_gaps_and_rejected_rows(project):
    text = data_view.show(project, "s1", variate=None, last=None).splitlines()
    assert text[:2] == [
        "s1: group s1, from test",
        "2023-11-14 22:13:20 to 2023-11-17 09:13:20 UTC, 60 steps of 1h",
    ]
    assert text[3] == (
        "cpu (target): 58 of 60 points, 3.3% missing, 2 rows in quarantine "
        "(infinite_value 1, out_of_bounds 1)"
    )
    values = fleet().filter(item_id="s1", variate="cpu")["value"]
    assert text[4] == (
        f"  first 2023-11-14 22:13:20 = {values[0]:.6g}, "
        f"last 2023-11-17 09:13:20 = {values[-1]:.6g}"
    )
    seen = values.to_numpy()[np.r_[0:5, 7:60]]
    assert text[5] == (
        f"  lowest {seen.min():.6g}, median {np.median(seen):.6g}, highest {seen.max():.6g}"
    )
    line = text[6].removeprefix("  ")
    assert len(line) == 60
    assert line[5:7] == "  "
    assert text[8].startswith("memory (target): 60 of 60 points, 0.0% missing, 0 rows in")


def test_variate_that_was_rejected_whole_says_why(project):
    text = data_view.show(project, "s2", variate="memory", last=None).splitlines()
    assert text[2:] == [
        "",
        "memory (target): quarantined whole by constant: all 60 values = 2.0",
        "  60 rows in quarantine (constant 60)",
    ]


def test_one_variate_and_the_newest_points(project):
    text = data_view.show(project, "s1", variate="memory", last=2).splitlines()
    assert not [line for line in text if line.startswith("cpu")]
    values = fleet().filter(item_id="s1", variate="memory")["value"]
    assert [line.split() for line in text[-3:]] == [
        ["time", "memory"],
        ["2023-11-17", "08:13:20", f"{values[-2]:.6g}"],
        ["2023-11-17", "09:13:20", f"{values[-1]:.6g}"],
    ]


def test_missing_point_is_listed_as_missing(project, tmp_path):
    write_series(tmp_path, set_value(fleet(), "s0", "cpu", 58, float("nan")))
    validate.run(params(), tmp_path)
    text = data_view.show(tmp_path, "s0", variate=None, last=2).splitlines()
    assert text[-2].split()[2] == "missing"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            {"item": "S10"},
            "toto data: item = 'S10', none of the 4 has this name; the nearest: s1, s0",
            id="item",
        ),
        pytest.param(
            {"item": "s1", "variate": "mem"},
            "toto data: variate = 'mem', none of the 2 has this name; the nearest: memory",
            id="part of a variate",
        ),
        pytest.param(
            {"item": "s1", "variate": "qqq"},
            "toto data: variate = 'qqq', none of the 2 has this name; the nearest: cpu, memory",
            id="nothing alike",
        ),
    ],
)
def test_unknown_name_suggests_the_nearest(project, call, message):
    with pytest.raises(ConfigError) as refused:
        data_view.show(project, **{"variate": None, "last": None, **call})
    assert str(refused.value) == message


def test_quarantine_is_listed_by_rule_with_reasons(project):
    text = data_view.quarantine(project, rule=None, item=None, limit=2).splitlines()
    assert text == [
        "63 rows in quarantine",
        "",
        "  rule                  rows  series",
        "  constant                60       1",
        "  infinite_value           1       1",
        "  out_of_bounds            1       1",
        "  unparsable_timestamp     1       1",
        "",
        "series:",
        "  item  variate  rows  rule      reason",
        "  s2    memory     60  constant  all 60 values = 2.0",
        "",
        "rows:",
        "  item  variate  timestamp             value  rule                  reason",
        "  lost  cpu      soon                  3      unparsable_timestamp  "
        "time stamp = 'soon' in a.csv, a time is needed",
        "  s1    cpu      2023-11-15T03:13:20Z  inf    infinite_value        "
        "value = inf, a finite number is needed",
        "1 more: raise --limit, or read data/quarantine/rows.parquet",
    ]


@pytest.mark.parametrize(
    ("rule", "item", "first", "hits"),
    [
        pytest.param("infinite_value", None, "1 row in quarantine by infinite_value", 1, id="rule"),
        pytest.param(None, "s1", "2 rows in quarantine of s1", 2, id="item"),
        pytest.param("constant", "s2", "60 rows in quarantine by constant of s2", 0, id="both"),
        pytest.param(None, "lost", "1 row in quarantine of lost", 1, id="never parsed"),
        pytest.param(None, "s0", "nothing in quarantine of s0", 0, id="clean item"),
        pytest.param("stale", None, "nothing in quarantine by stale", 0, id="no such row"),
    ],
)
def test_quarantine_can_be_narrowed(project, rule, item, first, hits):
    text = data_view.quarantine(project, rule=rule, item=item, limit=9).splitlines()
    assert text[0] == first
    listed = text[text.index("rows:") + 2 :] if "rows:" in text else []
    assert len(listed) == hits


def test_quarantine_refuses_names_that_do_not_exist(project):
    with pytest.raises(ConfigError, match=r"rule = 'dup', one of unparsable_timestamp, .*constant"):
        data_view.quarantine(project, rule="dup", item=None, limit=1)
    with pytest.raises(ConfigError, match=r"item = 'x', none of the 4 has this name; the nearest"):
        data_view.quarantine(project, rule=None, item="x", limit=1)


@pytest.mark.parametrize(
    ("part", "stage"),
    [(paths.SERIES, "ingest"), (paths.VALID, "validate"), (paths.QUARANTINE, "validate")],
)
def test_missing_data_say_which_command_makes_them(tmp_path, part, stage):
    for other in (paths.SERIES, paths.VALID, paths.QUARANTINE):
        if other != part:
            (tmp_path / other).mkdir(parents=True)
    with pytest.raises(DataError) as refused:
        data_view.show(tmp_path, "a", variate=None, last=None)
    assert str(refused.value) == (
        f"toto data: {part} = missing, the stage {stage} must have run; run dvc repro {stage}"
    )


def test_quarantine_needs_validation(tmp_path):
    with pytest.raises(DataError, match="data/quarantine = missing, the stage validate must have"):
        data_view.quarantine(tmp_path, rule=None, item=None, limit=1)


def test_commands_print_and_end_with_the_code_of_the_fault(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    for words, code in (
        (["show", "s1", "--variate", "cpu", "--last", "1"], 0),
        (["quarantine", "--rule", "constant", "--item", "s2", "--limit", "1"], 0),
        (["show", "nobody"], 2),
    ):
        monkeypatch.setattr("sys.argv", ["toto", "data", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert (end.value.code or 0) == code
    told = capsys.readouterr()
    assert "s1: group s1, from test" in told.out
    assert "60 rows in quarantine by constant of s2" in told.out
    assert told.err.startswith("toto data: item = 'nobody', none of the 4 has this name;")


def test_sparkline_follows_the_means_and_leaves_gaps_blank():
    nan = float("nan")
    draw = data_view.sparkline
    values = np.array([0, 1, 2, 3, 4, 5, 6, 7], np.float32)
    assert draw(values, bars="01234567") == "01234567"
    assert draw(np.array([0, nan, 7], np.float32), bars="01234567") == "0 7"
    assert draw(np.array([5, 5], np.float32), bars="01234567") == "00"
    assert draw(np.full(3, nan, np.float32)) == ""
    assert draw(np.repeat(values, 100), bars="01234567")[::8] == "01234567"[:8]
    assert len(draw(np.arange(1000, dtype=np.float32))) == data_view.WIDTH


def test_terminal_without_blocks_gets_plain_characters(project, monkeypatch):
    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr("sys.stdout", Ascii())
    text = data_view.show(project, "s0", variate="cpu", last=None)
    assert text.isascii()
    assert set(text.splitlines()[-1].strip()) <= set(data_view.PLAIN_BARS)
