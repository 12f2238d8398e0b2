"""The champion's files: from DVC's cache or remote as of its commit, checked by their hash."""

from pathlib import Path

from flows import paths
from toto_core.errors import RegistryError
from toto_core.files import writing
from toto_core.registry.fingerprint import combined, file_sha256, folder_files
from toto_core.registry.promotion import Line, calibration_of

FOLDER = paths.RUNS / "champions"


def champion_files(root: Path, line: Line, *, anew: bool = False) -> Path:
    """Return a folder with the model of a promotion and, where it has one, its calibration.

    They have the names that they have below ``models``. It is the copy of an earlier call if that
    is whole; otherwise the files come from DVC's cache, or from its remote where the cache does
    not have them.

    Args:
        line: of the promotion, as the log has it.
        anew: whether to ask DVC even if there is such a copy.

    Raises:
        RegistryError: if neither has them, or what they have is not what was promoted.
    """
    folder = root / FOLDER / str(line["version"])
    if not anew and not _faults(folder, line):
        return folder
    with writing(folder) as temporary:
        temporary.mkdir()
        _fetch(root, paths.CANDIDATE, line, temporary)
        if calibration_of(line):
            _fetch(root, paths.CALIBRATION, line, temporary)
        faults = _faults(temporary, line)
        if faults:
            raise RegistryError("\n".join(faults))
    return folder


def _faults(folder: Path, line: Line) -> list[str]:
    calibration = folder / paths.CALIBRATION.name
    found = {
        paths.CANDIDATE: (combined(folder_files(folder / paths.CANDIDATE.name)), line["candidate"]),
        paths.CALIBRATION: (
            file_sha256(calibration) if calibration.is_file() else None,
            calibration_of(line),
        ),
    }
    return [
        f"registry: {path} of {line['version']} = {str(has)[:12]} on commit "
        f"{str(line['commit'])[:12]}, the promotion log has {str(wanted)[:12]}; "
        "the cache or the remote is damaged, restore it from a copy"
        for path, (has, wanted) in found.items()
        if has != wanted
    ]


def _fetch(root: Path, path: Path, line: Line, folder: Path) -> None:
    from dvc.exceptions import DvcException  # noqa: PLC0415 - a fifth of a second to import
    from dvc.repo import Repo  # noqa: PLC0415
    from dvc_data.index import DataIndexDirError  # noqa: PLC0415

    try:
        with Repo(str(root)) as repo:  # the remote of today: that of the commit may be gone
            remote = repo.config["core"].get("remote")
        Repo.get(
            str(root),
            path.as_posix(),
            out=str(folder / path.name),
            rev=str(line["commit"]),
            remote=remote,
        )
    except (DvcException, DataIndexDirError, OSError) as error:
        raise RegistryError(
            f"registry: {path} of {line['version']} = not in DVC's cache and on no remote as of "
            f"commit {str(line['commit'])[:12]} ({type(error).__name__}), it is needed; run "
            "dvc push --all-tags where the cache has it, or configure the remote that has it"
        ) from None
