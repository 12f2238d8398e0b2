"""The cards of all verdicts, also of those that were no PASS, in files that git keeps.

``models/registry`` holds the newest card alone and goes with DVC's outputs; a lost comparison is
evidence too, and must not go with the next run.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from toto_core.files import writing

CARDS = Path("cards")
NUM_DIGITS = 12  # of each hash in the name of a card


def keep_card(registry: Path, ledger: Path) -> Path:
    """Copy the card of ``registry`` to the folder of cards below ``ledger``.

    The name follows from the hashes of candidate and verdict, so the same verdict is kept once and
    another one, of the same candidate too, beside it.

    Returns:
        where the JSON lies; the text for readers lies beside it.
    """
    path = card_path(ledger, json.loads((registry / "card.json").read_text(encoding="utf-8")))
    for kind in ("md", "json"):
        content = (registry / f"card.{kind}").read_bytes()
        with writing(path.with_suffix(f".{kind}")) as temporary:
            temporary.write_bytes(content)
    return path


def card_path(ledger: Path, card: Mapping[str, object]) -> Path:
    """Return where ``keep_card`` puts this card."""
    hashes = (str(card[key])[:NUM_DIGITS] for key in ("candidate_hash", "verdict_hash"))
    return ledger / CARDS / f"{'-'.join(hashes)}.json"
