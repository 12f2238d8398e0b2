"""The model card for readers: ``card.md``, made of ``card.json`` alone, each section a function."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from toto_core.evaluation.contamination import overlap_text
from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import PASS, in_order, p_value_text, percent, title
from toto_core.registry.card import bases
from toto_core.registry.hub_metadata import front_matter

SKILL_HEAD = ("skill", "95 % interval", "p", "origins", "h_eff", "df")
BLOCKS = {"candidate": "Seen series", "held_out": "New series", "crossval": "Rolling refits"}
SCORES = {"sql": "SQL", "mase": "MASE", "wql": "WQL", "coverage80": "coverage of 80 %"}

Json = Mapping[str, Any]


def card_markdown(card: Json) -> str:
    """Return the card as Markdown, with the head that a Hugging Face hub reads."""
    opening = [
        front_matter(card),
        f"# {card['name']}: {card['outcome']}",
        str(card["headline"]),
        str(card["affiliation"]),
    ]
    sections = [
        block
        for name, section in _SECTIONS.items()
        for block in _titled(name, [block for block in section(card) if block])
    ]
    return "\n\n".join([*opening, *sections]) + "\n"


def _titled(name: str, blocks: list[str]) -> list[str]:
    return [f"## {name}", *blocks] if blocks else []


def _use(card: Json) -> list[str]:
    splits, model = card["splits"], card["model"]
    context = model.get("context_length") or card["run"].get("context_length")
    read = f" from up to {context:,} past values" if context else ""
    fits = (
        "Meant for series like those it was judged on, and for a later time than the test period."
        if card["outcome"] == PASS
        else f"Its verdict is {card['outcome']}: it is not meant to be relied on. This card keeps "
        "the evidence."
    )
    return [
        f"Forecasts {splits['prediction_length']} steps of {splits['freq']} ahead{read}, as nine "
        f"quantiles from 0.1 to 0.9. {fits}",
        "Not meant for decisions about rare extremes, for series of another kind, or as the only "
        "basis of a decision that cannot be undone.",
    ]


def _model(card: Json) -> list[str]:
    named = [
        ("fine-tuned from", f"{base['init']}, commit {base['revision']}")
        if base["revision"]
        else ("fine-tuned from", base["init"])
        for base in bases(card["run"])
    ]
    rows = [*sorted(card["model"].items()), ("candidate", f"`{card['candidate_hash']}`"), *named]
    return [_table(("property", "value"), rows)]


def _training(card: Json) -> list[str]:
    run, train = card["run"], card["run"].get("train") or {}
    facts = {
        "parameters": run.get("parameters"),
        "of them learning": run.get("learning_parameters"),
        "steps": run.get("steps"),
        "best step": run.get("best_step"),
        "points seen": run.get("points_seen"),
        "last training target": run.get("last_training_time"),
        "training loss": run.get("train_loss"),
        "validation loss": run.get("validation_loss"),
        "seed": run.get("seed"),
        "computed in": run.get("compute_dtype"),
        **{key.replace("_", " "): train.get(key) for key in _OF_TRAINING},
        **{f"version of {name}": text for name, text in (run.get("versions") or {}).items()},
    }
    rows = [(key, _plain(value)) for key, value in facts.items() if value is not None]
    return [_table(("training", "value"), rows)] if rows else []


_OF_TRAINING = ("optimizer", "lr", "schedule", "batch_size", "accumulation", "num_variates")


def _data(card: Json) -> list[str]:
    data, splits = card["data"], card["splits"]
    corpus = card["run"].get("corpus_sha256") or {}
    return [
        f"{data['series']} series of {data['items']} items, {data['rows']} rows, "
        f"{data['first_timestamp']} to {data['last_timestamp']}.",
        _table(
            ("source", "rows", "licence"),
            [(s["source"], s["rows"], s["licence"]) for s in data["sources"]],
        ),
        f"Trained before {splits['validation_start']}, stopped by the time until "
        f"{splits['test_start']}, judged until {splits['test_end']} at "
        f"{splits['num_test_origins']} origins, {splits['prediction_length']} steps ahead.",
        _hashes("training corpus", corpus),
    ]


def _evaluation(card: Json) -> list[str]:
    scores = card["scores"]
    pooled = scores.get("pooled") or {}
    table = [
        (title(name), *(_figure(pooled[name].get(key)) for key in SCORES))
        for name in in_order(pooled)
    ]
    checks = [tuple(c[key] for key in _OF_A_CHECK) for c in card["checks"]]
    claims = [tuple(c[key] for key in _OF_A_CHECK) for c in card["claims"]]
    return [
        _table(("check", "outcome", "found", "allowed"), checks),
        "\n".join(f"- {c['name']}: {c['reason']}" for c in card["checks"] if c["outcome"] != PASS),
        "Reported beside the verdict, deciding nothing:" if claims else "",
        _table(("claim", "outcome", "found", "needed"), claims) if claims else "",
        _table(("on seen series", *SCORES.values()), table) if table else "",
        "Skill is 1 - loss of the model / loss of the baseline, with two-sided 95 % intervals over "
        "the origins; p is one-sided. The test is Diebold-Mariano with equal-weighted cosines, its "
        "effective overlap h_eff and its degrees of freedom df.",
        *_skill_tables(scores.get("skill") or {}),
        *_variate_tables(scores.get("skill_by_variate") or {}),
    ]


_OF_A_CHECK = ("name", "outcome", "found", "allowed")


def _calibration(card: Json) -> list[str]:
    scores = card["scores"]
    coverage = scores.get("coverage") or {}
    correction = scores.get("calibrate") or {}
    before = (correction.get("before") or {}).get("coverage") or {}
    rows = [
        (level, percent(number(coverage[level])), percent(number(before.get(level))))
        for level in sorted(coverage, key=float)
    ]
    if not rows:
        return []
    keep = 3 if before else 2
    head = ("level", "truth below it", "before the correction")
    how = correction.get("reason") or (
        f"Corrected on {correction['num_origins']} validation origins ({correction['method']})."
        if before
        else ""
    )
    return [_table(head[:keep], [row[:keep] for row in rows]), str(how)]


def _contamination(card: Json) -> list[str]:
    told = overlap_text(card["contamination"])
    return [f"Overlap of the judged values with the training data: {told}."]


def _weakest(card: Json) -> list[str]:
    rows = [
        (f"{w['item_id']} / {w['variate']}", percent(w["skill"]), w["held_out"])
        for w in card["worst_series"]
    ]
    return [_table(("series", "skill against no change", "held out"), rows)]


def _attempts(card: Json) -> list[str]:
    return [
        f"This is candidate number {card['attempt']} that was judged on this test period: the more "
        "there are, the smaller the p-value that each of them needs."
    ]


def _limits(card: Json) -> list[str]:
    return ["\n".join(f"- {limit}" for limit in card["limits"])]


def _all_hashes(card: Json) -> list[str]:
    of_bases = {
        f"{base['init']}/{name}": value
        for base in bases(card["run"])
        for name, value in sorted(base["sha256"].items())
    }
    return [
        _hashes(
            "what",
            {
                **card["candidate_files"],
                **dict(sorted(card["hashes"].items())),
                **of_bases,
                "test period": card["snapshot"],
                "verdict": card["verdict_hash"],
            },
        )
    ]


_SECTIONS: Mapping[str, Callable[[Json], list[str]]] = {
    "Intended use": _use,
    "Model": _model,
    "Training": _training,
    "Data": _data,
    "Evaluation": _evaluation,
    "Calibration": _calibration,
    "Contamination": _contamination,
    "Weakest series": _weakest,
    "Attempts": _attempts,
    "Limits": _limits,
    "Hashes (SHA-256)": _all_hashes,
}


def _skill_tables(skills: Json) -> list[str]:
    found = {name: _skill_rows(skills.get(key) or {}) for key, name in BLOCKS.items()}
    return [_table((name, *SKILL_HEAD), rows) for name, rows in found.items() if rows]


def _variate_tables(by_variate: Json) -> list[str]:
    """One table, the variate with the lowest skill against no change first."""
    if len(by_variate) < 2:
        return []
    order = sorted(by_variate, key=lambda name: (_skill_of(by_variate[name]), name))
    rows = [(name, *row) for name in order for row in _skill_rows(by_variate[name])]
    return [_table(("Variate of seen series", "against", *SKILL_HEAD), rows)]


def _skill_of(table: Json) -> float:
    found = number((table.get("naive") or {}).get("skill"))
    return -math.inf if math.isnan(found) else found


def _skill_rows(table: Json) -> list[tuple[object, ...]]:
    return [
        (
            title(baseline),
            percent(number(row.get("skill"))),
            f"{percent(number(row.get('lower')))} to {percent(number(row.get('upper')))}",
            p_value_text(number(row.get("p_value"))),
            *(_plain(row.get(key)) for key in ("n", "h_eff", "df")),
        )
        for baseline, row in ((name, table[name]) for name in in_order(table))
    ]


def _hashes(head: str, hashes: Mapping[str, str]) -> str:
    rows = [(name, f"`{value}`") for name, value in hashes.items()]
    return _table((head, "hash"), rows) if rows else ""


def _figure(value: object) -> str:
    found = number(value)
    return "-" if math.isnan(found) else f"{found:.4f}"


def _plain(value: object) -> str:
    """A number with its thousands apart; anything else as it is, nothing as a dash."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    text = str(value).replace("&", "&amp;").replace("<", "&lt;")
    return text.replace("|", "\\|").replace("\n", " ")
