"""Where and how exactly a run computes: device, number format, deterministic kernels."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from toto_core.errors import ConfigError

_MIN_WIDTH_FOR_THREADS = 256
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_BF16_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")  # x86, x86, Arm


def choose_device(wanted: Literal["auto", "cpu", "cuda"] = "auto") -> torch.device:
    """Choose the device that is ``wanted``; ``auto`` is the GPU if there is one, else the CPU.

    Raises:
        ConfigError: if a GPU is wanted and torch finds none.
    """
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        build = "a build for CPUs" if torch.version.cuda is None else "no GPU in sight"
        raise ConfigError(
            f"train: device = cuda, a GPU that torch finds is needed, torch {torch.__version__} "
            f"has {build}; install torch for CUDA and its driver, or set train.device to auto or "
            "cpu"
        )
    return torch.device("cuda" if has_gpu and wanted != "cpu" else "cpu")


def choose_dtype(
    precision: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> torch.dtype:
    """Choose the format of the matrix products; weights, norms and losses stay in float32.

    ``auto`` is bfloat16 where the processor computes in it (CUDA capability 8 and above; CPUs
    with such instructions), else float32.
    """
    if precision == "auto":
        return torch.bfloat16 if _computes_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _BF16_CAPABILITIES)


def threads_of(d_model: int, processes: int) -> int:
    """Give the threads of each of ``processes``: an even share of the cores, or one if narrow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 1 if d_model < _MIN_WIDTH_FOR_THREADS else max(1, (cores or 1) // processes)


def suit_threads(d_model: int) -> None:
    """Compute with one thread where the network is too narrow for more to pay.

    The products of a narrow network take less time than threads take to meet: a second one gains
    little on an idle machine and makes each step many times slower on a busy one
    (docs/results.md). One thread also gives the same bytes whatever the number of cores.
    OMP_NUM_THREADS decides where it is set.
    """
    if d_model < _MIN_WIDTH_FOR_THREADS and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def keep_memory() -> None:
    """Let the C library keep what is freed, for the rest of this process.

    By itself glibc hands large blocks back to the system, and each training step faults the same
    hundreds of megabytes in again, page by page (docs/performance.md). Elsewhere nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_MMAP_THRESHOLD, 2**30)


@contextmanager
def deterministic() -> Iterator[None]:
    """Ask torch for kernels that give the same bytes each time, and undo it afterwards.

    Only CUDA has others, and cuBLAS reads its part from the environment when its first handle
    is made; a kernel without a deterministic form warns and runs. Fresh memory is not filled, as
    torch would by itself: nothing here reads what it has not written.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic
    filled = fill.fill_uninitialized_memory  # pyright: ignore[reportAttributeAccessIssue]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    fill.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
        fill.fill_uninitialized_memory = filled  # pyright: ignore[reportAttributeAccessIssue]
