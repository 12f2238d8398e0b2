"""What the machine has: memory that is free or taken, and the speed of its matrix products."""

import math
import os
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch

# Of the matrices that the rate is measured with: large enough to reach it.
_CPU_SIDE, _GPU_SIDE = 1024, 8192
_MEASURED_S = 0.1
_CONTROL_GROUP = Path("/sys/fs/cgroup")


def available_bytes(device: torch.device) -> int:
    """Bytes that ``device`` has free; on a CPU what its container may still take counts too."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min(_system_available(), container_available(_CONTROL_GROUP))


def peak_bytes(device: torch.device) -> int:
    """The most that this process has had on ``device`` so far, bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):  # no Linux
        return _kibibytes("/proc/self/status", "VmHWM:")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the floating-point operations per second of a large product of matrices.

    The best of a few products within a tenth of a second, on the threads that torch has now.
    """
    size = _GPU_SIDE if device.type == "cuda" else _CPU_SIDE
    left, right = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))
    left @ right  # the first one loads kernels
    best = math.inf
    end = time.perf_counter() + _MEASURED_S
    while best == math.inf or time.perf_counter() < end:
        _wait_for(device)
        start = time.perf_counter()
        left @ right
        _wait_for(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def used_bytes(device: torch.device) -> int:
    """What this process has on ``device`` now, bytes."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # no Linux
        return peak_bytes(device)
    return pages * os.sysconf("SC_PAGE_SIZE")


def _system_available() -> int:
    with suppress(OSError):  # no Linux
        return _kibibytes("/proc/meminfo", "MemAvailable:")
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _kibibytes(file: str, key: str) -> int:
    """The bytes that a line ``key <number> kB`` tells of."""
    lines = Path(file).read_text(encoding="ascii", errors="replace").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def container_available(folder: Path) -> int:
    """What the memory limit of the control group in ``folder`` leaves, bytes; without one, all."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return sys.maxsize
    return sys.maxsize if limit == "max" else int(limit) - used
