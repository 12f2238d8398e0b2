"""The Prefect side of one stage: its flow run, log lines and artifacts. Never fails a stage."""

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from flows import paths
from flows.stage import Once, Summary, describe
from flows.terminal import LOGGERS, SERVER_LOST, one_line, warn

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun

PARENT_FLOW_RUN = "TOTO_PARENT_FLOW_RUN_ID"
PARENT_TASK_RUN = "TOTO_PARENT_TASK_RUN_ID"


def run_observed(name: str, once: Once) -> Summary:
    """Run ``once`` as a flow run and return its summary or raise its error.

    Whatever goes wrong between here and the server is one warning: the body then runs, or has
    run, without it.
    """
    try:
        _run_flow(name, once)
    except Exception as error:
        if error is not once.error:
            warn(f"prefect: {one_line(error)}; {name} goes on without it")
            os.environ[SERVER_LOST] = "1"
    return once()


def _run_flow(name: str, once: Once) -> None:
    from prefect import Flow  # noqa: PLC0415 - a second to import
    from prefect.flow_engine import run_flow  # noqa: PLC0415
    from prefect.logging.handlers import APILogHandler  # noqa: PLC0415

    handler = APILogHandler()
    for logger in LOGGERS:
        logging.getLogger(logger).addHandler(handler)
    label = os.environ.get("DVC_STAGE", name)
    flow = Flow(fn=lambda: _body(label, once), name=name.partition("@")[0], persist_result=False)
    run_flow(flow, flow_run=_create_run(flow, label), parameters={}, return_type="state")


def _body(label: str, once: Once) -> object:
    from prefect.states import Completed, Failed  # noqa: PLC0415

    try:
        summary = once()
    except Exception as error:
        code, message = describe(label, error)
        if code is None:
            raise
        _quietly(lambda: _to_server_only(message))
        return Failed(message=message)
    _quietly(lambda: _to_server_only(summary.text, logging.INFO))
    for publish in _artifacts(label, summary):
        try:
            publish()
        except Exception as error:
            warn(f"prefect: {one_line(error)}; artifact skipped")
            break
    return Completed(message=summary.text)


def _to_server_only(message: str, level: int = logging.ERROR) -> None:
    from prefect import get_run_logger  # noqa: PLC0415

    get_run_logger().log(level, message)


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception:
        logging.getLogger("flows.observed").debug("log line lost", exc_info=True)


def _create_run(flow: "Flow[..., Any]", label: str) -> "FlowRun":
    """Create the flow run, below the task of the parent where a pipeline started this stage."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415
    from prefect.client.schemas.objects import TaskRunResult  # noqa: PLC0415
    from prefect.states import Pending  # noqa: PLC0415
    from prefect.tasks import Task  # noqa: PLC0415

    parent_flow = os.environ.get(PARENT_FLOW_RUN)
    parent_task = os.environ.get(PARENT_TASK_RUN)
    tags = ["dvc", f"stage:{flow.name}"]
    with get_client(sync_client=True) as client:
        placeholder = None
        if parent_flow and parent_task:
            # A task run of its own between the two: a flow run that hangs directly below the
            # stage's task makes the graph lose its edges.
            placeholder = client.create_task_run(
                task=Task(fn=lambda: None, name=label),
                flow_run_id=UUID(parent_flow),
                name=label,
                dynamic_key=f"{label}-{uuid4().hex[:8]}",
                state=Pending(),
                task_inputs={"__parents__": [TaskRunResult(id=UUID(parent_task))]},
            )
        return client.create_flow_run(
            flow,
            parameters={},
            name=label,
            state=Pending(),
            parent_task_run_id=placeholder.id if placeholder else None,
            tags=tags,
        )


def _artifacts(label: str, summary: Summary) -> list[Callable[[], object]]:
    from prefect import artifacts  # noqa: PLC0415

    actions: list[Callable[[], object]] = []
    if summary.metrics:
        rows = [{"metric": key, "value": shown(value)} for key, value in summary.metrics.items()]
        actions.append(
            lambda: artifacts.create_table_artifact(
                rows, key=artifact_key(label, "metrics"), description=summary.text
            )
        )
    for key, table in summary.tables.items():
        actions.append(
            lambda key=key, table=table: artifacts.create_table_artifact(
                [{name: shown(value) for name, value in row.items()} for row in table],
                key=artifact_key(label, key),
            )
        )
    for key, text in summary.markdown.items():
        actions.append(
            lambda key=key, text=text: artifacts.create_markdown_artifact(
                text, key=artifact_key(label, key)
            )
        )
    if label == "report" and paths.REPORT.exists():
        actions.append(lambda: publish_report(paths.REPORT))
    return actions


def publish_report(report: Path) -> None:
    """Publish a link to the report; browsers open file links by hand only, so its path too."""
    from prefect import artifacts  # noqa: PLC0415

    path = report.resolve()
    artifacts.create_markdown_artifact(
        f"[{path.as_uri()}]({path.as_uri()})\n\nOpen `{path}` in a browser.", key="report"
    )


def shown(value: object) -> object:
    """Return what a table of the UI shows: numbers with four digits that count."""
    return float(f"{value:.4g}") if isinstance(value, float) and abs(value) < 1e4 else value


def artifact_key(label: str, key: str) -> str:
    """Return the artifact's stable name: stage and key in lower case, digits and dashes."""
    name = key if key.startswith(f"{label}-") else f"{label}-{key}"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
