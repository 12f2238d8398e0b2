"""What training drew how often: by source, frequency and synthetic family."""

from collections.abc import Iterator

from toto_core.evaluation.json_numbers import number
from toto_core.report.markup import Json, count_text, freq_text, percent_text, table

_TABLES = {"sources": "source", "frequencies": "frequency", "families": "synthetic family"}


def mixture_details(augment: Json) -> str:
    """Return the mixture as tables to unfold; nothing where there was nothing to mix.

    Args:
        augment: ``reports/metrics/augment.json``.
    """
    tables = "".join(_tables(augment.get("mixture") or {}))
    if not tables:
        return ""
    return f"<details><summary>What training drew how often</summary>{tables}</details>"


def _tables(mixture: Json) -> Iterator[str]:
    for key, name in _TABLES.items():
        parts = mixture.get(key) or {}
        if len(parts) < 2:  # all of it
            continue
        ordered = sorted(parts.items(), key=lambda part: (-number(part[1].get("share")), part[0]))
        rows = [
            (
                freq_text(label) if key == "frequencies" else label,
                count_text(part.get("items")),
                count_text(part.get("points")),
                percent_text(number(part.get("share"))),
            )
            for label, part in ordered
        ]
        yield table((name, "items", "points", "share of draws"), rows, caption=f"Drawn, by {name}")
