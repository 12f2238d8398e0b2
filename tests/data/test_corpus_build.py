"""A build that is stopped, or finds the disk full, leaves nothing torn and the old corpus."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from corpus_entries import entry, written

from toto_core.data.corpus import Corpus, Mixture
from toto_core.errors import StorageError

ALL_REAL = Mixture(synthetic_share=0.0)
HERE = Path(__file__).parent

# A process that may write files of 64 KiB at most: the kernel refuses what goes beyond.
LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from corpus_entries import entry, written
from toto_core.data.corpus import Mixture
from toto_core.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
parts = (entry(f"i{n}", np.zeros((1, 4096)), [4096] * 3) for n in range(9))
try:
    written(Path(sys.argv[1]), parts, mixture=Mixture(synthetic_share=0.0))
except StorageError as error:
    print(error)
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from corpus_entries import entry, written
def parts():
    for n in range(9):
        yield entry(f"i{n}", [[1.0] * 9], [9] * 3)
        if n == 5:
            os.kill(os.getpid(), signal.SIGKILL)
written(Path(sys.argv[1]), parts(), max_shard_bytes=64)
"""


def run(code, directory):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}
    command = [sys.executable, "-c", code, str(directory)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def corpus(tmp_path):
    """An older corpus, and its bytes by name."""
    directory = tmp_path / "corpus"
    written(directory)
    return directory, {path.name: path.read_bytes() for path in directory.iterdir()}


def assert_is_as_before(corpus):
    directory, before = corpus
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    Corpus.open(directory, verify=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_full_disk_says_what_is_free_and_what_is_needed(corpus):
    """The second shard is written to the device that is always full."""
    directory, _ = corpus

    def parts():
        yield entry("i0", np.zeros((1, 100)), [100] * 3)
        (temporary,) = directory.parent.glob(".corpus.*.tmp")
        (temporary / "part-00001.f32").symlink_to("/dev/full")
        yield entry("i1", np.zeros((2, 200)), [200] * 3)
        yield entry("i2", np.zeros((1, 100)), [100] * 3)

    with pytest.raises(StorageError) as caught:
        written(directory, parts(), mixture=ALL_REAL, max_shard_bytes=400)
    assert re.fullmatch(
        re.escape(f"{directory}: no space left on device, ")
        + r"\d{6,} bytes are free and more than 2400 are needed \(3 items were begun, the rest is "
        r"not counted\); make room and run again, nothing torn was left",
        str(caught.value),
    )
    assert [path.name for path in directory.parent.iterdir()] == ["corpus"]
    assert_is_as_before(corpus)


def test_limit_of_the_system_on_a_file_is_told_alike(corpus):
    directory, _ = corpus
    done = run(LIMITED, directory)
    assert done.returncode == 0, done.stderr
    assert re.match(
        re.escape(f"{directory}: file too large, ") + r"\d+ bytes are free and more than 81920 are",
        done.stdout,
    )
    assert len(done.stdout.splitlines()) == 1
    assert [path.name for path in directory.parent.iterdir()] == ["corpus"]
    assert_is_as_before(corpus)


def test_killed_build_leaves_the_old_corpus_and_the_next_one_clears_up(corpus):
    directory, _ = corpus
    assert run(KILLED, directory).returncode == -signal.SIGKILL
    assert_is_as_before(corpus)
    assert len(list(directory.parent.iterdir())) == 2
    written(directory)
    assert [path.name for path in directory.parent.iterdir()] == ["corpus"]
    assert_is_as_before(corpus)


def test_other_refusals_of_the_system_are_passed_on(tmp_path):
    with pytest.raises(OSError, match="File name too long"):
        written(tmp_path / ("x" * 300))
