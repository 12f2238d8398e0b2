"""The mixture is shown where there is one, the most drawn first."""

import re

from toto_core.report.mixture_part import mixture_details


def part(items, points, share):
    return {"items": items, "points": points, "share": share}


def cells(html):
    """Return the cells of each row."""
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", html)
    return [re.sub(r"<[^>]+>", "|", row).strip("|").replace("||", "|").split("|") for row in rows]


def test_parts_are_listed_by_their_share():
    sources = {
        "a.csv": part(2, 50, 0.25),
        "<b>.csv": part(1, 3000, 0.65),
        "synthetic": part(4, 9, 0.1),
    }
    html = mixture_details(
        {"mixture": {"sources": sources, "frequencies": {"1h": part(3, 1, 0.9)}}}
    )
    assert cells(html) == [
        ["&lt;b&gt;.csv", "1", "3\N{NARROW NO-BREAK SPACE}000", "65.0\N{NARROW NO-BREAK SPACE}%"],
        ["a.csv", "2", "50", "25.0\N{NARROW NO-BREAK SPACE}%"],
        ["synthetic", "4", "9", "10.0\N{NARROW NO-BREAK SPACE}%"],
    ]
    assert html.count("<table") == 1


def test_frequencies_and_families_have_their_own_tables():
    mixture = {
        "frequencies": {"1h": part(1, 1, 0.5), "5min": part(1, 1, 0.3)},
        "families": {"steps": part(1, 1, 0.1), "counts": part(1, 1, 0.1)},
    }
    html = mixture_details({"mixture": mixture})
    assert [row[0] for row in cells(html)] == ["1 hour", "5 minutes", "counts", "steps"]
    assert re.findall(r"<caption>(.*?)<", html) == [
        "Drawn, by frequency",
        "Drawn, by synthetic family",
    ]


def test_nothing_mixed_shows_nothing():
    assert mixture_details({}) == ""
    assert mixture_details({"mixture": {"sources": {"a": part(1, 1, 1.0)}, "families": {}}}) == ""
