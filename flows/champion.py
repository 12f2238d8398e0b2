"""The champion's files: from DVC's cache or remote as of its commit, checked by their hash."""

from pathlib import Path

from flows import paths
from toto_core.errors import RegistryError
from toto_core.files import writing
from toto_core.registry.fingerprint import combined, folder_files
from toto_core.registry.promotion import Line

FOLDER = paths.RUNS / "champions"


def champion_files(root: Path, line: Line, *, anew: bool = False) -> Path:
    """Return a folder with the model of a line of the promotion log.

    It is the copy of an earlier call if that is whole; otherwise the files come from DVC's cache,
    or from its remote where the cache does not have them.

    Args:
        line: its ``commit`` and the ``candidate`` hash count.
        anew: whether to ask DVC even if there is such a copy.

    Raises:
        RegistryError: if neither has them, or what they have is not what was promoted.
    """
    folder = root / FOLDER / str(line["candidate"])[:12]
    if not anew and folder.is_dir() and combined(folder_files(folder)) == line["candidate"]:
        return folder
    with writing(folder) as temporary:
        _fetch(root, line, temporary)
        found = combined(folder_files(temporary))
        if found != line["candidate"]:
            raise RegistryError(
                f"registry: {paths.CANDIDATE} of {line['version']} = {found[:12]} on commit "
                f"{str(line['commit'])[:12]}, the promotion log has {str(line['candidate'])[:12]}; "
                "the cache or the remote is damaged, restore it from a copy"
            )
    return folder


def _fetch(root: Path, line: Line, folder: Path) -> None:
    from dvc.exceptions import DvcException  # noqa: PLC0415 - a fifth of a second to import
    from dvc.repo import Repo  # noqa: PLC0415
    from dvc_data.index import DataIndexDirError  # noqa: PLC0415

    try:
        with Repo(str(root)) as repo:  # the remote of today: that of the commit may be gone
            remote = repo.config["core"].get("remote")
        Repo.get(
            str(root),
            paths.CANDIDATE.as_posix(),
            out=str(folder),
            rev=str(line["commit"]),
            remote=remote,
        )
    except (DvcException, DataIndexDirError, OSError) as error:
        raise RegistryError(
            f"registry: {paths.CANDIDATE} of {line['version']} = not in DVC's cache and on no "
            f"remote as of commit {str(line['commit'])[:12]} ({type(error).__name__}), it is "
            "needed; run dvc fetch --all-tags where the cache has it and dvc push, or configure "
            "the remote that has it"
        ) from None
