"""Make the registered candidate the champion: a line in the promotion log and git tags on HEAD.

It runs after the commit, never inside a stage, because a tag must point to the commit that holds
the ``dvc.lock`` of the model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows import paths, releases
from flows.challenge import challenge, outputs_of, present, read_card
from toto_core.errors import RegistryError
from toto_core.evaluation.verdict import FAIL, PASS
from toto_core.registry.archive import card_path, keep_card
from toto_core.registry.promotion import (
    ARTIFACT,
    PROMOTION,
    STAGE,
    Moment,
    champion,
    promotion_line,
    require_promotable,
)
from toto_core.registry.recorded import require_recorded
from toto_core.registry.succession import Succession


@dataclass(frozen=True)
class _Ready:
    """What a promotion starts from; it must be the same when its line is written."""

    moment: Moment
    card: dict[str, Any]
    lines: list[dict[str, Any]]

    @property
    def champion(self) -> str | None:
        holder = champion(self.lines)
        return str(holder["version"]) if holder else None


def promote(root: Path, *, allow_unproven: bool = False) -> str:
    """Make the candidate the next version of the model and the champion.

    Where there is a champion the candidate is compared with it, outside of the lock, because that
    takes as long as an evaluation. The line is written only if the champion is still the same.

    Args:
        allow_unproven: promote also where the comparison is INCONCLUSIVE; the line says so.

    Returns:
        what was done and what is left to do, for the terminal.

    Raises:
        RegistryError: outside git, with uncommitted records, with outputs that are not those of
            ``dvc.lock``, with a candidate that is not the judged one, without a PASS, against a
            champion that is better, or if another promotion came first.
    """
    releases.moment(root, "promote")
    with releases.one_writer(root):
        stopped = releases.settle(root, "promote")
        if stopped:
            return releases.finished(root, stopped, PROMOTION)
        before = _ready(root)
    succession = challenge(root, command="promote")
    _require_proven(succession, allow_unproven=allow_unproven)
    with releases.one_writer(root) as log:
        releases.settle(root, "promote")
        _require_unchanged(root, before)
        now = _ready(root)
        line = promotion_line(
            now.card,
            moment=now.moment,
            lines=now.lines,
            succession=succession.to_json() if succession else None,
            card_file=card_path(root / paths.LEDGER, now.card).relative_to(root).as_posix(),
        )
        releases.record(root, log, line, "promote")
        keep_card(root / paths.REGISTRY, root / paths.LEDGER)
    against = f", in place of {now.champion}: {succession.outcome}" if succession else ""
    return (
        f"promoted: {ARTIFACT} {line['version']} is now {STAGE}{against} "
        f"(tags on {now.moment.head[:12]}). {releases.what_is_left(root)}"
    )


def _ready(root: Path) -> _Ready:
    moment = releases.moment(root, "promote")
    releases.require_committed(root, "promote")
    lock = yaml.safe_load((root / releases.LOCK).read_text(encoding="utf-8"))
    card, lines = read_card(root, "promote"), releases.read_lines(root)
    require_recorded(lock or {}, root, outputs=outputs_of(card), command="promote")
    require_promotable(card, present(root), lines=lines)
    return _Ready(moment, card, lines)


def _require_proven(succession: Succession | None, *, allow_unproven: bool) -> None:
    if succession is None or succession.outcome == PASS:
        return
    if succession.outcome != FAIL and allow_unproven:
        return
    what_to_do = (
        "keep the champion and train a better one"
        if succession.outcome == FAIL
        else "collect more origins, or take it as it is with --allow-unproven"
    )
    raise RegistryError(
        f"promote: against {succession.champion} = {succession.outcome} ({succession.reason}), "
        f"PASS is needed; {what_to_do}"
    )


def _require_unchanged(root: Path, before: _Ready) -> None:
    holder = champion(releases.read_lines(root))
    now = str(holder["version"]) if holder else None
    head = releases.git(root, "rev-parse", "HEAD")
    if now != before.champion:
        raise RegistryError(
            f"promote: champion = {now} since a moment ago, {before.champion or 'none'} is what "
            "this candidate was compared with; look at toto history, then promote again"
        )
    if head != before.moment.head:
        raise RegistryError(
            f"promote: HEAD = {head[:12]} since a moment ago, {before.moment.head[:12]} is what "
            "was checked; promote again"
        )
