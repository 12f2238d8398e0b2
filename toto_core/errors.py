"""The errors that users see, and the exit code each of them ends a process with.

A message has the form ``<where>: <name> = <found>, <allowed>; <what to do>``: lower case, one
line for each fault, all faults of a file together.
"""

from typing import ClassVar

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DATA_REJECTED = 3
EXIT_INTERRUPTED = 130


class TotoError(Exception):
    """An error with a message for the user: it is printed without a traceback."""

    exit_code: ClassVar[int] = EXIT_FAILED


class ConfigError(TotoError):
    """``params.yaml``, the command line or the environment asks for what is not allowed."""

    exit_code = EXIT_USAGE


class DataError(TotoError):
    """Input data is missing, unreadable or rejected by validation."""

    exit_code = EXIT_DATA_REJECTED


class StorageError(TotoError):
    """There is no room for what a stage writes."""


class CheckpointError(TotoError):
    """A model directory or a training checkpoint is missing, torn or of another shape."""


class TrainingError(TotoError):
    """Training cannot go on: a non-finite loss, a corpus without a single window."""


class BatchTooLargeError(TrainingError):
    """A micro-batch does not fit into the memory of its device."""


class RegistryError(TotoError):
    """A candidate may not be registered or promoted."""
