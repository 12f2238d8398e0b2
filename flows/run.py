"""One run of the whole pipeline, as the command line sees it."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from flows import paths
from flows.api import find_api, prepare_prefect
from flows.checks import check_project
from flows.graph import Node, Outcome, StageFailedError, Work, walk
from flows.stage import SAID_PLAIN, describe, sigterm_interrupts
from flows.terminal import RUN, say, warn
from toto_core.errors import EXIT_INTERRUPTED, EXIT_OK, TotoError

Walk = Callable[[Path], dict[str, Outcome]]


def run_command(root: Path, walk_observed: Walk | None = None) -> int:
    """Run the pipeline of ``root``, say what it came to, and return the exit code.

    ``walk_observed`` walks where a Prefect API answers; None: that of flows.pipeline, imported
    when it is needed.

    The exit code says whether the pipeline finished, not whether the model won: a verdict FAIL
    is a result.
    """
    try:
        with sigterm_interrupts():
            check_project(root)
            began = time.monotonic()
            outcomes = _walk(root, walk_observed)
    except StageFailedError as error:  # the stage itself has said why
        return error.code
    except TotoError as error:
        warn(str(error))
        return error.exit_code
    except OSError as error:
        code, message = describe("pipeline", error)
        if code is None:
            raise
        warn(message)
        return code
    except KeyboardInterrupt:
        warn("pipeline: stopped by a signal; the next run goes on from here")
        return EXIT_INTERRUPTED
    say(f"pipeline: {describe_outcomes(outcomes)}, {time.monotonic() - began:.1f} s")
    for line in read_verdict(root):
        say(line)
    return EXIT_OK


def walk_plainly(root: Path) -> dict[str, Outcome]:
    """Bring every stage up to date without Prefect."""

    def visit(node: Node, work: Work) -> Outcome:
        outcome = work({})
        if outcome.kind != "ran":  # a stage that runs speaks for itself
            say(f"{node.name}: cached")
        return outcome

    return walk(root, visit)


def describe_outcomes(outcomes: Mapping[str, Outcome]) -> str:
    """Return how many stages ran and how many did not have to, in words."""
    ran = sum(outcome.kind == "ran" for outcome in outcomes.values())
    return f"{len(outcomes)} stages, {ran} ran, {len(outcomes) - ran} cached"


def read_verdict(root: Path) -> list[str]:
    """Return the lines that end a run: the gate's verdict and where the report is."""
    lines = []
    try:
        verdict = json.loads((root / paths.REGISTRY / "verdict.json").read_text(encoding="utf-8"))
        lines.append(f"verdict: {verdict['outcome']}, {verdict['headline']}")
    except (OSError, ValueError, KeyError, TypeError):
        pass  # a project without a register stage has no verdict
    report = root / paths.REPORT
    if report.exists():
        lines.append(f"report: {report.resolve()}")
    return lines


def _walk(root: Path, walk_observed: Walk | None) -> dict[str, Outcome]:
    os.environ[RUN] = f"run {os.getpid()}"
    api = find_api(root, os.environ)
    if api.url is None:
        warn(api.why_plain)
        os.environ[SAID_PLAIN] = "1"
        return walk_plainly(root)
    if walk_observed is None:
        prepare_prefect(root)
        from flows.pipeline import walk_observed  # noqa: PLC0415 - a second to import
    return walk_observed(root)
