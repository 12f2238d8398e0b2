"""The parent flow: walks DVC's graph, one Prefect task per stage.

``python -m flows.pipeline`` runs it in this process; prefect.yaml deploys it. DVC alone decides
what is stale and is the only cache, so a stage comes to the same outputs and the same dvc.lock
whether ``dvc repro``, this flow or a deployment has run it.
"""

import os
import subprocess
import time
from pathlib import Path

from flows import paths
from flows.api import prepare_prefect
from flows.graph import Node, Outcome, Work, walk
from flows.observed import PARENT_FLOW_RUN, PARENT_TASK_RUN, publish_report
from flows.run import describe_outcomes, read_verdict, run_command, walk_plainly
from flows.stage import SAID_PLAIN
from flows.terminal import SERVER_LOST, leave, one_line, say, warn
from toto_core.errors import TotoError

prepare_prefect(Path())  # Prefect reads its settings once, when it is imported

from prefect import Task, flow, get_run_logger  # noqa: E402
from prefect.artifacts import create_markdown_artifact, create_table_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.context import TaskRunContext  # noqa: E402
from prefect.exceptions import TerminationSignal  # noqa: E402
from prefect.runtime import deployment  # noqa: E402
from prefect.states import Completed, Failed  # noqa: E402

_MESSAGES = {
    "ran": "DVC: ran",
    "restored": "DVC: outputs restored from an earlier run with the same inputs",
    "unchanged": "DVC: up to date",
}


def _run_name() -> str:
    trigger = "deployment" if deployment.id else "command"
    return f"{trigger}-{_revision()}"


@flow(name="pipeline", flow_run_name=_run_name, persist_result=False)
def pipeline() -> State:
    """Bring every stage of the project in the working directory up to date."""
    watch = _Watch()
    try:
        outcomes = walk(Path(), watch.visit)
    except TotoError as error:
        watch.publish()
        return Failed(message=str(error), data=error)
    watch.publish()
    return Completed(message=describe_outcomes(outcomes), data=outcomes)


def walk_observed(root: Path) -> dict[str, Outcome]:
    """Run the flow in this process; ``root`` must be the working directory.

    A server that goes away on the way costs the view of the rest, not the run: the walk goes on
    plainly, and what has been done is not done again.

    Raises:
        TotoError: a stage failed, or the walk could not start.
    """
    try:
        result = pipeline(return_state=True).result(raise_on_failure=False)
    except TerminationSignal:  # what Prefect makes of SIGTERM
        raise KeyboardInterrupt from None
    except Exception as error:
        result = RuntimeError(one_line(error))
    if isinstance(result, TotoError):
        raise result
    if isinstance(result, dict):
        return result
    warn(f"prefect: {result}; going on without it")
    os.environ.update({"TOTO_PREFECT": "off", SERVER_LOST: "1"})
    return walk_plainly(root)


class _Watch:
    """Shows a walk to Prefect: a task for each stage, and tables at the end."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._rows: list[dict[str, object]] = []

    def visit(self, node: Node, work: Work) -> Outcome:
        """Bring one stage up to date inside a task of its name, below the tasks it needs."""
        outcome = Outcome("unchanged")
        failure: TotoError | None = None

        def bring_up_to_date() -> State:
            nonlocal outcome, failure
            context = TaskRunContext.get()
            assert context is not None
            run = context.task_run
            try:
                outcome = work(
                    {
                        PARENT_FLOW_RUN: str(run.flow_run_id),
                        PARENT_TASK_RUN: str(run.id),
                        SAID_PLAIN: "1",  # a server that goes is told here, once
                    }
                )
            except TotoError as error:
                failure = error
                return Failed(message=str(error))
            message = _MESSAGES[outcome.kind]
            return Completed(name=None if outcome.kind == "ran" else "Cached", message=message)

        began = time.monotonic()
        # Without tags: each tag is a concurrency limit to the server, which SQLite answers with
        # "locked" now and then, and that is a pause of two seconds.
        stage = Task(
            fn=bring_up_to_date,
            name=node.name,
            task_run_name=node.name,
            cache_policy=NO_CACHE,
            persist_result=False,
        )
        needed = [self._states[need] for need in node.needs if need in self._states]
        state = stage(wait_for=needed, return_state=True)
        self._states[node.name] = state
        seconds = round(time.monotonic() - began, 1)
        self._rows.append({"stage": node.name, "state": state.name, "seconds": seconds})
        if failure is not None:
            raise failure
        if not state.is_completed():
            raise RuntimeError(f"{node.name} = {state.name} {state.message or ''}")
        get_run_logger().info("%s: %s, %.1f s", node.name, state.name, seconds)
        if outcome.kind != "ran":  # a stage that runs speaks for itself
            say(f"{node.name}: cached")
        return outcome

    def publish(self) -> None:
        """Publish the stages, the verdict and the link to the report as artifacts."""
        try:
            create_table_artifact(self._rows, key="pipeline-stages")
            lines = read_verdict(Path())
            if lines:
                create_markdown_artifact("\n\n".join(lines), key="verdict")
            if paths.REPORT.exists():
                publish_report(paths.REPORT)
        except Exception as error:
            warn(f"prefect: {one_line(error)}; artifact skipped")


def _revision() -> str:
    command = ["git", "rev-parse", "--short=8", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "uncommitted"


if __name__ == "__main__":
    leave(run_command(Path(), walk_observed))
