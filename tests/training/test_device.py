"""The device and the number format are chosen from what the machine has."""

import platform
import subprocess
import sys

import pytest
import torch

from toto_core.errors import ConfigError
from toto_core.training.device import choose_device, choose_dtype, deterministic, suit_threads

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_given_precision_is_taken(precision, dtype):
    assert choose_dtype(precision, CPU) is dtype


def test_auto_is_bfloat16_where_the_processor_has_it():
    capabilities = torch.cpu.get_capabilities()
    has = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert choose_dtype("auto", CPU) is (torch.bfloat16 if has else torch.float32)


def test_device_is_cuda_where_there_is_one():
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_cpu_is_taken_where_it_is_wanted():
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_that_is_wanted_and_absent_is_one_line():
    with pytest.raises(
        ConfigError,
        match=r"^train: device = cuda, a GPU that torch finds is needed, torch \S+ has "
        r"(a build for CPUs|no GPU in sight); install .*, or set train\.device to auto or cpu$",
    ):
        choose_device("cuda")


def test_deterministic_kernels_are_asked_for_and_given_back():
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic():
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.fixture
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize(("d_model", "chosen"), [(128, 1), (256, 2)])
def test_narrow_network_computes_with_one_thread(d_model, chosen, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    suit_threads(d_model)
    assert torch.get_num_threads() == chosen


@pytest.mark.usefixtures("_two_threads")
def test_threads_that_were_asked_for_are_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    suit_threads(64)
    assert torch.get_num_threads() == 2


_FAULTS = """
import resource
import torch
from toto_core.training.device import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        parts = [torch.ones(2**20 * size) for size in (1, 3, 12)]
        del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
without = faults()
keep_memory()
faults()
print(without, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_kept_memory_is_not_faulted_in_again():
    result = subprocess.run(
        [sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True
    )
    without, kept = map(int, result.stdout.split())
    assert kept < without / 10
