"""The only module that knows W&B: tracking that never blocks a run and never fails it."""

import logging
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from flows import paths
from flows.api import accepts_connections
from flows.terminal import one_line, warn_once

_PROJECT = "toto-pipeline"
_FOLDER = Path("wandb")
_SAID = paths.RUNS / "said-wandb"
_INIT_TIMEOUT_S = 20.0
_FINISH_TIMEOUT_S = 300.0  # a model is uploaded by then; what is left, `wandb sync` sends
_CONNECT_TIMEOUT_S = 2.0
_HOST = "https://api.wandb.ai"


class Run(Protocol):
    """A tracked run."""

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record ``values``; ``step`` counts up from call to call."""
        ...

    def log_model(self, directory: Path, name: str) -> None:
        """Record the files of ``directory`` as a version of model ``name``."""
        ...

    def finish(self) -> None:
        """End the run; nothing can be recorded after it."""
        ...


def start(stage: str, config: Mapping[str, object]) -> Run:
    """Start a run for ``stage`` with its parameters; where that fails, a run that records nothing.

    WANDB_MODE decides; where it is unset, online if an account is configured (WANDB_API_KEY or
    ~/.netrc) and its host answers, else offline. The files are below wandb/.
    """
    mode = choose_mode(os.environ)
    if mode == "disabled":
        return _NullRun()
    try:
        return _WandbRun(_init(stage, config, mode))
    except Exception as error:
        _warn(error)
        return _NullRun()


def choose_mode(environ: Mapping[str, str]) -> str:
    """Return the W&B mode of a run: online, offline, disabled, or what WANDB_MODE says."""
    if environ.get("WANDB_DISABLED", "").lower() in ("1", "true"):
        return "disabled"
    if environ.get("WANDB_MODE"):
        return environ["WANDB_MODE"]
    host = environ.get("WANDB_BASE_URL", _HOST)
    if not environ.get("WANDB_API_KEY") and not _in_netrc(urlsplit(host).hostname or ""):
        return "offline"
    proxied = any(environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"))
    if not proxied and not accepts_connections(host, timeout_s=_CONNECT_TIMEOUT_S):
        warn_once(
            f"wandb: {host} = no answer within {_CONNECT_TIMEOUT_S:g} s, online needs one; "
            "tracking offline (`wandb sync` sends it later)",
            _SAID,
        )
        return "offline"
    return "online"


class _NullRun:
    """Records nothing."""

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        pass

    def log_model(self, directory: Path, name: str) -> None:
        pass

    def finish(self) -> None:
        pass


class _WandbRun:
    """A run of W&B that stops recording at its first fault, with one warning."""

    def __init__(self, run: Any) -> None:  # noqa: ANN401 - wandb is imported in _init only
        self._run = run

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        self._try(lambda run: run.log(dict(values), step=step))

    def log_model(self, directory: Path, name: str) -> None:
        def log(run: Any) -> None:  # noqa: ANN401
            import wandb  # noqa: PLC0415

            artifact = wandb.Artifact(name, type="model")
            artifact.add_dir(str(directory))
            run.log_artifact(artifact)

        self._try(log)

    def finish(self) -> None:
        self._try(lambda run: run.finish())
        self._run = None

    def _try(self, action: Any) -> None:  # noqa: ANN401
        if self._run is None:
            return
        try:
            action(self._run)
        except Exception as error:
            self._run = None
            _warn(error)


def _init(stage: str, config: Mapping[str, object], mode: str) -> object:
    if not os.environ.get("WANDB_MODE"):
        os.environ.pop("WANDB_MODE", None)  # empty means unset; wandb would refuse it
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    for kind in ("DATA", "CACHE"):  # staged models too stay in the project, out of the home
        os.environ.setdefault(f"WANDB_{kind}_DIR", str(_FOLDER.resolve() / kind.lower()))
    import wandb  # noqa: PLC0415 - half a second to import

    logging.getLogger("wandb").setLevel(logging.CRITICAL)
    return wandb.init(
        project=os.environ.get("WANDB_PROJECT", _PROJECT),
        job_type=stage,
        name=os.environ.get("WANDB_NAME", stage),
        config=dict(config),
        mode=mode,  # pyright: ignore[reportArgumentType] - WANDB_MODE is checked by wandb
        settings=wandb.Settings(
            silent=True,
            console="off",
            init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", _INIT_TIMEOUT_S)),
            finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT", _FINISH_TIMEOUT_S)),
            disable_git=True,
            x_disable_stats=True,
        ),
    )


def _in_netrc(host: str) -> bool:
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _warn(error: Exception) -> None:
    warn_once(f"wandb: {one_line(error).rstrip('.')}; going on without tracking", _SAID)
