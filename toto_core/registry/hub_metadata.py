"""The head of a model card in the form of the Hugging Face hub, so that a hub would show it.

Keys as in the hub's documentation, "Model Cards": what is not known is left out, never guessed.
"""

import math
from collections.abc import Mapping
from typing import Any

import yaml

Json = Mapping[str, Any]

LIBRARY = "toto-pipeline"
TASK = "time-series-forecasting"
TAGS = ("time-series", "forecasting", "quantiles", "toto")
METRICS = {
    "mase": "MASE",
    "sql": "SQL (scaled quantile loss)",
    "wql": "WQL (GIFT-Eval's CRPS)",
    "coverage80": "coverage of the central 80 % interval",
}


def front_matter(card: Json) -> str:
    """Return the YAML block between two lines of three dashes."""
    head: dict[str, Any] = {
        "library_name": LIBRARY,
        "pipeline_tag": TASK,
        "tags": [*TAGS, f"verdict-{str(card['outcome']).lower()}"],
    }
    base = card["run"].get("base")
    if base and base.get("revision"):  # of a model on the hub alone
        head |= {"base_model": base["init"].partition("@")[0], "base_model_relation": "finetune"}
    metrics = _metrics(card)
    if metrics:
        head["model-index"] = [
            {"name": card["name"], "results": [{**_judged(card), "metrics": metrics}]}
        ]
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}---"


def _judged(card: Json) -> dict[str, Any]:
    data, splits = card["data"], card["splits"]
    period = f"{str(splits['test_start'])[:10]} to {str(splits['test_end'])[:10]}"
    return {
        "task": {"type": TASK, "name": "Time series forecasting"},
        "dataset": {
            "type": "private",
            "name": f"{data['items']} items at {splits['freq']}, {period}",
            "split": "test",
            "revision": card["snapshot"],
        },
    }


def _metrics(card: Json) -> list[dict[str, Any]]:
    scores = ((card.get("scores") or {}).get("pooled") or {}).get("model") or {}
    found = [{"type": key, "name": name, "value": scores.get(key)} for key, name in METRICS.items()]
    against = (((card.get("scores") or {}).get("skill") or {}).get("candidate") or {}).get("naive")
    if against:
        name = "skill against no change (1 - ratio of the losses)"
        found.append({"type": "skill", "name": name, "value": against.get("skill")})
    return [one for one in found if _is_number(one["value"])]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
