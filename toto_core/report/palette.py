"""Which colour, dash and name each forecaster has, on every chart of the page.

The colours keep the hues of Okabe and Ito (Color Universal Design, 2008), darkened on light paper
until text in them is readable; each line has a dash of its own as well, so that no chart needs
colour to be read.
"""

from collections.abc import Iterable

from toto_core.evaluation.verdict import MODEL, TITLES

OWN = (MODEL, "naive", "drift", "seasonal_naive", "base")
NUM_OTHERS = 4  # classes other0, other1, ... for whatever else was judged


def css_classes(names: Iterable[str]) -> dict[str, str]:
    """Return the class of each forecaster; those without one of their own share a few in turn."""
    ordered = list(dict.fromkeys(names))
    others = [name for name in ordered if name not in OWN]
    return {
        name: name if name in OWN else f"other{others.index(name) % NUM_OTHERS}" for name in ordered
    }


def title_of(name: str) -> str:
    """Return the name of a forecaster in words."""
    return TITLES.get(name, name.replace("_", " "))


def in_words(names: Iterable[str]) -> str:
    """Join names to a list as it stands in a sentence."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
