"""Colours can be read on light and on dark paper, and told apart without seeing all of them."""

import re
from itertools import combinations

import numpy as np
import pytest

from toto_core.report.palette import NUM_OTHERS, OWN, css_classes, in_words, title_of
from toto_core.report.style import STYLE

LIGHT, DARK = (dict(re.findall(r"--([\w-]+):(#\w{6})", part)) for part in STYLE.split("@media")[:2])
LINES = ("model", "naive", "drift", "seasonal", "base", *(f"other{n}" for n in range(NUM_OTHERS)))
# Vienot, Brettel and Mollon 1999, linear RGB: what is left without L and without M cones.
PROTAN = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
DEUTAN = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])


def linear(colour):
    """Linear RGB of a hexadecimal colour (WCAG 2.1)."""
    share = np.array([int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)])
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    bright = [float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (one, other)]
    return max(bright) / min(bright)


def lab(rgb):
    """CIE Lab, D65, of linear RGB."""
    xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ) @ np.clip(rgb, 0, 1)
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_colour_has_the_contrast_of_wcag(colours):
    for name in (*LINES, "ink", "soft", "pass", "fail", "unsure"):
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    for name in ("pass", "fail", "unsure"):  # of the badge
        assert contrast(colours[name], colours["on"]) >= 4.5, name


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", [np.eye(3), PROTAN, DEUTAN], ids=["all", "no red", "no green"])
def test_the_model_differs_from_every_baseline_for_every_eye(colours, eyes):
    seen = {name: lab(eyes @ linear(colours[name])) for name in LINES}
    for name in LINES[1:4]:  # those that are always there
        assert np.linalg.norm(seen["model"] - seen[name]) > 20, name


def test_no_two_lines_share_colour_and_dash():
    names = ("model", "naive", "drift", "seasonal_naive", "base", "other0", "other1", "other2")
    dashes = {
        name: re.findall(rf"\.line\.{name}{{[^}}]*stroke-dasharray:([\d ]+)", STYLE)
        for name in names
    }
    for one, other in combinations(names, 2):
        assert dashes[one] != dashes[other], (one, other)


def test_forecasters_without_a_colour_of_their_own_share_a_few_in_turn():
    others = [f"f{n}" for n in range(NUM_OTHERS + 1)]
    found = css_classes([*OWN, *others])
    assert all(found[name] == name for name in OWN)
    assert [found[name] for name in others] == ["other0", "other1", "other2", "other3", "other0"]
    assert css_classes(["<script>"]) == {"<script>": "other0"}


def test_names_are_written_out():
    assert title_of("naive") == "no change"
    assert title_of("my_spread_sheet") == "my spread sheet"
    assert [in_words(names) for names in (["a"], ["a", "b"], "abc")] == [
        "a",
        "a and b",
        "a, b and c",
    ]
