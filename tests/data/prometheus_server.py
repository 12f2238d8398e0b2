"""A real Prometheus with a few hours of samples, from whatever package installed it."""

import math
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

START_S = 1_735_689_600  # 2025-01-01
STEP_S = 60
NUM_SAMPLES = 1_500
GAP = range(100, 103)  # samples of cpu at web-1 that were never scraped

MISSING = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]


def value(host: int, step: int) -> float:
    return round(50 + host + 10 * math.sin(step / 10), 3)


def samples() -> Iterator[str]:
    for metric in ("cpu", "memory"):
        yield f"# TYPE {metric} gauge"
        for host in (1, 2):
            for step in range(NUM_SAMPLES):
                if metric == "cpu" and host == 1 and step in GAP:
                    continue
                labels = f'instance="web-{host}",job="api"'
                yield f"{metric}{{{labels}}} {value(host, step)} {START_S + step * STEP_S}"
    yield "# EOF"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Fill a data base with ``samples`` and yield the address of a server of it."""
    (folder / "samples.om").write_text("\n".join(samples()) + "\n")
    (folder / "prometheus.yml").write_text("global: {}\n")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples.om", "tsdb"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=tsdb",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            _wait(f"http://{address}/-/ready", server)
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(urllib.error.URLError), urllib.request.urlopen(url, timeout=1):
            return
        with suppress(subprocess.TimeoutExpired):
            server.wait(0.05)
    raise AssertionError("prometheus did not start")
