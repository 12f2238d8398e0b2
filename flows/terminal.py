"""What the project writes to the terminal: results on stdout, log and warnings on stderr."""

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

SERVER_LOST = "TOTO_SERVER_LOST"
RUN = "TOTO_RUN"
LOGGERS = ("toto_core", "flows", "__main__")


def say(line: str) -> None:
    """Write a line of the result to stdout, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def warn(line: str) -> None:
    """Write a line that is not the result to stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def warn_once(line: str, said: Path) -> None:
    """Warn, but of the stages of one run or one ``dvc repro`` only the first.

    Args:
        line: the warning.
        said: file that remembers who has said what last.
    """
    # The stages of one `dvc repro` share its process group; `toto run` gives each its own.
    note = f"{os.environ.get(RUN) or os.getpgrp()}\n{line}"
    with suppress(OSError):
        if said.exists() and said.read_text(encoding="utf-8") == note:
            return
        said.parent.mkdir(parents=True, exist_ok=True)
        said.write_text(note, encoding="utf-8")
    warn(line)


def log_to_terminal() -> None:
    """Show the project's own log on stderr; a handler of ours on the root keeps Prefect's away."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(lambda record: not record.name.startswith("prefect"))
    logging.getLogger().addHandler(handler)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)


def leave(code: int) -> NoReturn:
    """End the process with ``code``; at once if its Prefect server has gone.

    On an ordinary exit Prefect would try for minutes to send what it still has.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if os.environ.get(SERVER_LOST):
        os._exit(code)
    sys.exit(code)


def one_line(error: BaseException) -> str:
    """Return the type and the text of an error of somebody else's in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
