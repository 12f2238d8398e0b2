"""What is asked of the machine is of the right size."""

import os
import sys
import time

import pytest
import torch

from toto_core.training.machine import (
    available_bytes,
    container_available,
    matrix_rate,
    peak_bytes,
    used_bytes,
)

CPU = torch.device("cpu")


def test_matrix_rate_is_measured_quickly_and_is_that_of_products():
    start = time.perf_counter()
    rate = matrix_rate(CPU, torch.float32)
    assert time.perf_counter() - start < 3.0
    assert 1e8 < rate < 1e14


def test_memory_in_use_follows_what_is_kept():
    size = 400_000_000
    before = used_bytes(CPU)
    kept = torch.ones(size, dtype=torch.uint8)
    assert used_bytes(CPU) - before == pytest.approx(size, rel=0.05)
    del kept
    assert peak_bytes(CPU) >= before + 0.95 * size


def test_available_memory_is_some_and_not_more_than_there_is():
    assert 0 < available_bytes(CPU) <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(("limit", "left"), [("3000\n", 2000), ("max\n", sys.maxsize)])
def test_limit_of_a_container_counts(tmp_path, limit, left):
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text("1000\n")
    assert container_available(tmp_path) == left


def test_without_a_container_everything_is_available(tmp_path):
    assert container_available(tmp_path) == sys.maxsize
