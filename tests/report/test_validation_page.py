"""The page of validation says what was rejected and why, and escapes what it shows."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
from contract_tree import NASTY

from toto_core.data import rules
from toto_core.data.conservation import Sums
from toto_core.data.examples import Example
from toto_core.data.tally import Counts
from toto_core.report.validation_page import MAX_LINES, Findings, page

SETTINGS = dict.fromkeys(rules.OPTIONAL, 1)


def example(rule="out_of_bounds", item="svc", *, rows=2, bad=((3, 1e9), (5, np.inf))):
    times = np.arange(50) * 3_600_000_000
    return Example(
        rule=rule,
        item_id=item,
        variate="cpu",
        rows=rows,
        reason="value = 1e9, allowed 0 to 100",
        times=times,
        values=np.sin(np.arange(50)).astype(np.float32) + 40,
        bad_times=np.array([t for t, _ in bad], np.int64) * 3_600_000_000,
        bad_values=np.array([v for _, v in bad], np.float32),
    )


def findings(*, examples=(), settings=None, worst=(), **counts):
    table = Counts(**counts)
    return Findings(
        counts={**table.to_json(), "checksums": Sums(3, 2, 1).to_json()},
        settings=SETTINGS | (settings or {}),
        examples=examples,
        worst=pl.DataFrame(
            worst,
            schema={"item_id": pl.String, "bad": pl.Int64, "rules": pl.String, "rows": pl.Int64},
            orient="row",
        ),
    )


def dirty(**changes):
    return findings(
        rows_in=1000,
        rows_valid=900,
        series_in=4,
        series_valid=3,
        series_quarantined=1,
        rule_rows=Counter(constant=60, out_of_bounds=40),
        rule_series=Counter(constant=1, out_of_bounds=2),
        repairs=Counter(renumber_dst=12),
        **changes,
    )


def test_page_opens_with_the_share_and_the_proof():
    html = page(dirty())
    assert re.search(r"<h1[^>]*>90\.00.% of the rows and 3 of 4 series are valid</h1>", html)
    assert (
        "<code>0000000000000003</code> = <code>0000000000000002</code> + "
        "<code>0000000000000001</code>"
    ) in html


def test_page_does_not_round_a_loss_away():
    html = page(findings(rows_in=10**6, rows_valid=10**6 - 1, series_in=1, series_valid=1))
    assert re.search(r"<h1[^>]*>more than 99\.99.% of the rows and", html)


def test_rules_are_listed_by_their_rows_with_what_they_mean():
    html = page(dirty())
    assert html.index(">constant<") < html.index(">out_of_bounds<")
    assert rules.MEANING["constant"] in html
    assert "irregular" not in html


def test_repairs_are_listed():
    html = page(dirty())
    assert ">renumber_dst</th>" in html
    assert rules.MEANING["renumber_dst"] in html


def test_panel_shows_the_series_and_marks_what_was_set_aside():
    html = page(dirty(examples=[example()]))
    assert html.count('class="dot bad"') == 2
    assert html.count('class="fault"') == 2
    assert 'class="line truth"' in html
    assert "<b>2 rows</b>" in html
    assert "value = 1e9, allowed 0 to 100" in html
    # The outliers lie at the edge of a panel that the other values set.
    dots = re.findall(r'class="dot bad" cx="[\d.]+%" cy="([\d.-]+)"', html)
    assert dots == ["0", "0"]
    assert not re.search(r"\d{6}M|1000M", html)


def test_bad_value_near_the_others_is_drawn_where_it_is():
    html = page(dirty(examples=[example(bad=((3, 42.0),))]))
    (down,) = re.findall(r'class="dot bad" cx="[\d.]+%" cy="([\d.-]+)"', html)
    assert 0 < float(down) < 30


def test_many_bad_rows_are_dots_without_lines():
    bad = tuple((n % 50, 41.0) for n in range(MAX_LINES + 1))
    html = page(dirty(examples=[example(bad=bad)]))
    assert html.count('class="dot bad"') == MAX_LINES + 1
    assert 'class="fault"' not in html


def test_panel_of_a_series_rejected_whole_is_drawn_in_red():
    html = page(dirty(examples=[example("constant", bad=())]))
    assert 'class="line bad" d=' in html
    assert 'class="dot bad"' not in html


def test_names_and_reasons_are_escaped():
    shown = replace(example(item=NASTY), reason=f"found {NASTY}")
    html = page(dirty(examples=[shown], worst=[(NASTY, 40, "stale", 100)]))
    assert NASTY not in html
    assert html.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; co") == 4


def test_worst_items_name_their_share_and_a_few_rules():
    html = page(
        dirty(worst=[("a", 40, "constant, irregular, off_grid, stale", 200), ("b", 1, "stale", 0)])
    )
    row = html[html.index(">a</th>") :].split("</tr>")[0]
    assert "20.0" in row
    assert "constant, irregular, off_grid and 1 more" in row
    assert "unknown" in html[html.index(">b</th>") :].split("</tr>")[0]


def test_rules_that_are_off_are_said_to_be_off():
    html = page(dirty(settings={"counters": [], "max_spike": {}, "splits": None}))
    off = html[html.index("What was not checked") :]
    assert re.findall(r"<code>validate\.(\w+)</code>", off) == ["max_spike", "counters", "splits"]
    assert "What was not checked" not in page(dirty())


def test_clean_data_have_a_page_too():
    html = page(findings(rows_in=10, rows_valid=10, series_in=1, series_valid=1))
    assert "Nothing: all rows passed." in html
    assert "100.00" in html
    assert "The worst items" not in html
    assert "How it looks" not in html


def test_page_is_one_file_and_the_same_again():
    found = dirty(examples=[example(), example("stale")])
    html = page(found)
    assert html == page(found)
    assert not re.search(r"<(script|link|img|iframe)|src=|href=|https?://|url\(", html)


def test_every_rule_and_repair_has_a_meaning():
    assert set(rules.MEANING) == {*rules.ROW_RULES, *rules.SERIES_RULES, *rules.REPAIRS}
