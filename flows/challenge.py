"""The candidate against the champion, by the gate's test at origins that neither has seen.

The champion forecasts the test period of the splits as they are now; the candidate's losses there
are those of the evaluate stage.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from flows import paths
from flows.champion import champion_files
from flows.judge import EXIT_CODES
from flows.network import predictor
from flows.releases import LOCK, read_lines
from flows.terminal import say
from toto_core.config import load_params
from toto_core.data import tables
from toto_core.data.splits import Splits, to_us
from toto_core.errors import EXIT_OK, CheckpointError, DataError, RegistryError
from toto_core.evaluation.backtest import asked, backtest_tables
from toto_core.evaluation.conformal import Calibration
from toto_core.evaluation.conformal.answers import before_and_after
from toto_core.evaluation.metrics import MODEL, SERIES_KEYS, Tally
from toto_core.files import whole_parquet
from toto_core.registry.fingerprint import file_sha256, folder_files, model_sha256
from toto_core.registry.promotion import Line, Present, calibration_of, champion, other_files
from toto_core.registry.recorded import require_recorded
from toto_core.registry.succession import (
    Rule,
    Succession,
    compare_with_champion,
    origins_unseen,
    undecided,
)

# As the hashes of a card name them.
JUDGED_ON = {
    "splits": paths.SPLITS,
    "losses": paths.LOSSES,
    "evaluation": paths.METRICS / "evaluate.json",
    "protocol": paths.PROTOCOL,
    "calibration": paths.CALIBRATION,
}
COMPARED = (paths.VALID, paths.SPLITS, paths.LOSSES)


def challenge(root: Path, *, command: str = "challenge") -> Succession | None:
    """Compare the registered candidate of ``root`` with the champion; None if there is no champion.

    It takes as long as evaluating the candidate did. Nothing is written but a copy of the champion
    below ``runs``.

    Raises:
        RegistryError: if the data, the splits, the losses or the candidate are not those of
            ``dvc.lock``, so that they may not belong together.
    """
    holder = champion(read_lines(root))
    if holder is None:
        return None
    lock = yaml.safe_load((root / LOCK).read_text(encoding="utf-8"))
    card = read_card(root, command)
    outputs = (*COMPARED, *outputs_of(card))
    require_recorded(lock or {}, root, outputs=outputs, command=command)
    faults = other_files(card, present(root), command=command)
    if faults:
        raise RegistryError("\n".join(faults))
    splits = Splits.load(root / paths.SPLITS)
    seen_until = [_time(line.get(key)) for line in (holder, _line_of(card)) for key in _SEEN]
    origins = origins_unseen(splits.test_origins, seen_until=seen_until)
    losses = _losses_of_candidate(root)
    version = str(holder["version"])
    try:
        folder = champion_files(root, holder)
        of_champion = _losses_of(folder, root, splits, origins, losses)
    except (RegistryError, CheckpointError, DataError) as error:
        return undecided(version, " ".join(str(error).split()))
    rule = Rule(
        tolerance=card["thresholds"]["max_successor_loss"],
        alpha=card["thresholds"]["alpha"],
        attempt=int(card.get("attempt") or 1),
        overlap=splits.overlap,
    )
    return compare_with_champion(of_champion, losses, version=version, origins=origins, rule=rule)


def challenge_command(root: Path, *, as_json: bool = False) -> int:
    """Print what ``challenge`` found, in words or as JSON, and return the outcome's exit code.

    Raises:
        RegistryError: as ``challenge``.
    """
    found = challenge(root)
    if as_json:
        say(json.dumps(found.to_json() if found else None, indent=2))
    elif found is None:
        say("no champion yet: nothing to compare with")
    else:
        say(f"against {found.champion}: {found.outcome}, {found.reason}")
    return EXIT_CODES[found.outcome] if found else EXIT_OK


def outputs_of(card: Line) -> tuple[Path, ...]:
    """Return what belongs to a card, relative to the project."""
    own = (paths.CANDIDATE, paths.REGISTRY)
    return (*own, paths.CALIBRATION) if calibration_of(card) else own


def present(root: Path) -> Present:
    """Return the hashes of the candidate and of what its verdict was given on, as they are now."""
    return Present(
        candidate_files=folder_files(root / paths.CANDIDATE),
        evidence={
            name: file_sha256(root / path)
            for name, path in JUDGED_ON.items()
            if (root / path).is_file()
        },
    )


def read_card(root: Path, command: str) -> dict[str, Any]:
    """Return the card that the register stage has written.

    Raises:
        RegistryError: if it is missing, torn or older than this version of the stage.
    """
    path = root / paths.REGISTRY / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        found = "" if "thresholds" in card else "of an older form"
    except (OSError, ValueError):
        card, found = {}, "unreadable"
    if found:
        raise RegistryError(
            f"{command}: {path} = {found}, the card of the register stage is needed; "
            "run dvc repro register"
        )
    return card


_SEEN = ("last_training_time", "test_start")  # training saw the one, early stopping the other


def _line_of(card: dict[str, Any]) -> Line:
    return {
        "last_training_time": (card.get("run") or {}).get("last_training_time"),
        "test_start": (card.get("splits") or {}).get("test_start"),
    }


def _time(value: object) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None


def _losses_of_candidate(root: Path) -> pl.DataFrame:
    """Losses of the candidate on the series that training may have seen and that have a scale."""
    return pl.read_parquet(whole_parquet(root / paths.LOSSES)).filter(
        (pl.col("source") == "candidate")
        & (pl.col("forecaster") == MODEL)
        & ~pl.col("held_out")
        & (pl.col("scale") > 0)
    )


def _losses_of(
    folder: Path,
    root: Path,
    splits: Splits,
    origins: list[datetime],
    like: pl.DataFrame,
) -> pl.DataFrame:
    """Losses of the model in ``folder`` on the series of ``like``, at ``origins``."""
    params = load_params(root / paths.PARAMS)
    model = folder / paths.CANDIDATE.name
    run = json.loads((model / "run.json").read_text(encoding="utf-8"))
    context_length = int(run.get("context_length") or params.model.context_length)
    predict = predictor(
        model,
        context_length=context_length,
        prediction_length=splits.prediction_length,
        batch_size=params.evaluate.batch_size,
    )
    answer = asked(predict, splits.prediction_length, context_length)
    correction = folder / paths.CALIBRATION.name
    if correction.is_file():
        calibration = Calibration.load(correction, candidate=model_sha256(model))
        answer = before_and_after(answer, calibration)[1]
    judged = like.select(*SERIES_KEYS, "group", "held_out", "scale").unique().sort(SERIES_KEYS)
    wanted = frozenset(judged["item_id"])
    pieces = backtest_tables(
        (item for item in tables.read_items(root / paths.VALID) if item.item_id in wanted),
        np.array([to_us(origin) for origin in origins], dtype=np.int64),
        splits,
        {MODEL: answer},
        context_length=context_length,
        params=params.evaluate.model_copy(update={"baselines": ()}),
    )
    return Tally(judged, forecasters=(MODEL,), source="champion").add_all(pieces).losses()
