"""Make an earlier champion the champion again: a new line and a new tag, nothing is deleted."""

from pathlib import Path

from flows import releases
from flows.champion import champion_files
from toto_core.registry.promotion import (
    ARTIFACT,
    ROLLBACK,
    STAGE,
    champion,
    rollback_line,
    rollback_target,
)


def rollback(root: Path, *, version: str | None = None) -> str:
    """Return to the champion before this one, or to ``version``.

    Its files are put into a folder below ``runs`` first, so that nothing is rolled back to a model
    that is lost. The working tree stays as it is.

    Returns:
        what was done and what is left to do, for the terminal.

    Raises:
        RegistryError: with uncommitted records, without such a version, or if neither DVC's cache
            nor its remote has the model.
    """
    moment = releases.moment(root, "rollback")
    with releases.one_writer(root) as log:
        stopped = releases.settle(root, "rollback")
        if stopped:
            return releases.finished(root, stopped, ROLLBACK)
        releases.require_committed(root, "rollback")
        lines = releases.read_lines(root)
        target = rollback_target(lines, version)
        folder = champion_files(root, target, anew=True)
        before = champion(lines)
        line = rollback_line(target, moment=moment, lines=lines)
        releases.record(root, log, line, "rollback")
    return (
        f"rolled back: {ARTIFACT} {target['version']} is {STAGE} again"
        + (f", in place of {before['version']}" if before else "")
        + f" (tag on {str(target['commit'])[:12]}). Its files are in "
        f"{folder.relative_to(root)}; to work on from there: git checkout "
        f"{ARTIFACT}@{target['version']} -- dvc.lock && dvc checkout. {releases.what_is_left(root)}"
    )
