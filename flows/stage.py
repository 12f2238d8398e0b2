"""Run one stage: under Prefect where a server answers, plainly where none does."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flows import paths
from toto_core.config import Params, load_params
from toto_core.errors import TotoError


@dataclass(frozen=True)
class Summary:
    """
    What a finished stage tells those who watch it; its files are its real outputs.

    Attributes:
        text: one line for the terminal and the log.
        metrics: what is tracked from run to run, flat names to numbers.
        tables: Prefect table artifacts, key (lower case, digits, dashes) to rows.
        markdown: Prefect markdown artifacts, key to text.
    """

    text: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)
    markdown: Mapping[str, str] = field(default_factory=dict)


def run_stage(name: str, body: Callable[[Params, Path], Summary]) -> None:
    """Run ``body(params, root)`` as stage ``name`` and end the process with its exit code."""
    try:
        summary = body(load_params(paths.PARAMS), Path())
    except TotoError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"{name}: {summary.text}")
