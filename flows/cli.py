"""The command ``toto``: run the pipeline, check the project, start Prefect here, promote."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.terminal import leave
from toto_core.errors import EXIT_FAILED, EXIT_INTERRUPTED, TotoError

app = typer.Typer(
    help="Train, judge and register forecasting models, reproducibly. Run from the project's root.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 3 data rejected, 130 stopped.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

data = typer.Typer(
    help="Look at the data: what is valid, what was rejected and why, what is damaged."
)
app.add_typer(data, name="data", no_args_is_help=True)

_ROOT = Path()
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run() -> None:
    """Bring every stage up to date, then print the verdict and where the report is.

    DVC decides what is stale. Where a Prefect server answers (`toto up`, PREFECT_API_URL), its
    UI shows the run; TOTO_PREFECT=off does without.
    """
    from flows.run import run_command  # noqa: PLC0415 - each command imports its own

    leave(run_command(_ROOT))


@app.command()
def check() -> None:
    """Check params.yaml, dvc.yaml and the set-up; print every fault at once."""
    from flows.checks import check_project  # noqa: PLC0415

    check_project(_ROOT)
    print("check: params.yaml and dvc.yaml are in order")


@app.command()
def judge(
    forecaster: Annotated[
        str | None, typer.Option(help="module:function, see docs/evaluation.md.")
    ] = None,
    quantiles: Annotated[
        Path | None, typer.Option(help="Parquet file of quantile forecasts.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model directory or hub id.")] = None,
    name: Annotated[str | None, typer.Option(help="Of its folder; default: from its own.")] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Count it as an attempt on this test period.")
    ] = False,
) -> None:
    """Judge any forecaster on the splits of this project, by the tests of the gate.

    Writes reports/judged/NAME alone. Exit codes: 0 PASS, 4 FAIL, 5 INCONCLUSIVE.
    """
    from flows.judge import judge_command  # noqa: PLC0415

    leave(
        judge_command(
            _ROOT,
            forecaster=forecaster,
            quantiles=quantiles,
            model=model,
            name=name,
            is_recorded=record,
        )
    )


@app.command()
def plan(
    size: Annotated[str | None, typer.Option(help="Another model.size than the file's.")] = None,
    processes: Annotated[
        int | None, typer.Option(help="Another train.processes than the file's.", min=1)
    ] = None,
    mfu: Annotated[
        float, typer.Option(help="Share of the rate that is used.", min=0.01, max=1)
    ] = 0.4,
    tflops: Annotated[
        float | None,
        typer.Option(help="Matrix rate of a process; default: measured here.", min=0.001),
    ] = None,
) -> None:
    """Show what training would take: parameters, rates, memory, sharding and time.

    Nothing is trained and no data are read; the largest size takes a few seconds on a laptop.
    """
    from flows.plan import plan_text  # noqa: PLC0415

    print(plan_text(_ROOT, size=size, processes=processes, mfu=mfu, tflops=tflops))


@app.command()
def up(
    port: Annotated[
        int | None,
        typer.Option(help="Port of the server; default: 4200 or the next free one.", min=1),
    ] = None,
) -> None:
    """Start Prefect on this machine: server, worker and the nightly deployment.

    Reachable from this machine only. Its files are in runs/prefect; `toto down` stops it.
    """
    from flows import local  # noqa: PLC0415

    print("prefect: starting server and worker, about 20 s", flush=True)
    ui = local.up(_ROOT, port=port)
    print(f"prefect: {ui} shows the runs; logs are in runs/prefect")
    print("next: `toto run` runs the pipeline in its view, or start `pipeline/nightly` there")
    print("      `toto down` stops it; until then the deployment runs at 02:00 UTC")


@app.command()
def down() -> None:
    """Stop what `toto up` has started."""
    from flows import local  # noqa: PLC0415

    stopped = local.down(_ROOT)
    print(
        f"prefect: stopped {' and '.join(stopped)}" if stopped else "prefect: nothing was running"
    )


@app.command()
def promote(
    allow_unproven: Annotated[
        bool,
        typer.Option(
            "--allow-unproven",
            help="Also where the comparison with the champion is INCONCLUSIVE; the log says so.",
        ),
    ] = False,
) -> None:
    """Make the candidate whose verdict is PASS the champion: a line in the log, and its tags.

    Run it after a git commit of the verdict. A champion is compared with first: a candidate that
    is worse is refused.
    """
    from flows import promote as promotion  # noqa: PLC0415

    print(promotion.promote(_ROOT, allow_unproven=allow_unproven))


@app.command()
def challenge(as_json: _AsJson = False) -> None:
    """Compare the candidate with the champion at origins that neither has seen; changes nothing.

    Exit codes: 0 PASS (not worse) or no champion yet, 4 FAIL (worse), 5 INCONCLUSIVE (neither is
    shown).
    """
    from flows.challenge import challenge_command  # noqa: PLC0415

    leave(challenge_command(_ROOT, as_json=as_json))


@app.command()
def rollback(
    to: Annotated[
        str | None,
        typer.Option(help="An earlier version; default: the one before the champion."),
    ] = None,
) -> None:
    """Make an earlier champion the champion again: a new line and a new tag, nothing is deleted."""
    from flows import rollback as returning  # noqa: PLC0415

    print(returning.rollback(_ROOT, version=to))


@app.command()
def history(as_json: _AsJson = False) -> None:
    """Show who became champion when, on what evidence and in whose place."""
    from flows import history as past  # noqa: PLC0415

    print(past.history(_ROOT, as_json=as_json))


@data.command()
def show(
    item: Annotated[str, typer.Argument(help="Its item_id.")],
    variate: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    last: Annotated[
        int | None, typer.Option(help="List so many of the newest points.", min=1)
    ] = None,
) -> None:
    """Show an item: its variates, times, values, gaps and rejected rows."""
    from flows import data_view  # noqa: PLC0415

    print(data_view.show(_ROOT, item, variate=variate, last=last))


@data.command()
def quarantine(
    rule: Annotated[str | None, typer.Option(help="Only what broke this rule.")] = None,
    item: Annotated[str | None, typer.Option(help="Only what belongs to this item.")] = None,
    limit: Annotated[int, typer.Option(help="Most series, and most rows, to list.", min=1)] = 20,
) -> None:
    """Show the rejected rows and series with their reasons, and the totals by rule."""
    from flows import data_view  # noqa: PLC0415

    print(data_view.quarantine(_ROOT, rule=rule, item=item, limit=limit))


@data.command()
def verify() -> None:
    """Read the whole training corpus and compare its checksums; name what is damaged."""
    from flows import corpus_view  # noqa: PLC0415

    print(corpus_view.verify(_ROOT))


@data.command()
def folds(
    number: Annotated[int, typer.Option(help="Folds in time.", min=2)] = 5,
    judged: Annotated[int, typer.Option(help="Of them judged at once.", min=1)] = 1,
    embargo: Annotated[int, typer.Option(help="Steps kept clear behind them.", min=0)] = 0,
) -> None:
    """Show what purged K-fold or combinatorial folds would leave to train on; trains nothing."""
    from flows import folds_view  # noqa: PLC0415

    text = folds_view.folds_text(_ROOT, num_folds=number, num_test_folds=judged, embargo=embargo)
    print(text)


def main() -> None:
    """Run the command line; a fault that is the user's ends in its message and exit code."""
    try:
        app()
    except TotoError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("toto: stopped by Ctrl-C", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        if not error.strerror:
            raise
        print(
            f"toto: {error.filename or 'system'} = {error.strerror.lower()}, readable files and "
            "room to write are needed; mend it and run again",
            file=sys.stderr,
        )
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
