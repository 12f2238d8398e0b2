"""What the baselines of the extra ``baselines`` need, asked without importing anything heavy.

The command line asks before it runs: Polars, once imported, keeps Ctrl-C to itself.
"""

from importlib.util import find_spec

from toto_core.errors import ConfigError

AUTO_THETA, AUTO_ETS = "auto_theta", "auto_ets"
AUTOMATIC = (AUTO_THETA, AUTO_ETS)
PACKAGE = "statsforecast"


def check_installed(names: tuple[str, ...]) -> None:
    """Make sure that what the baselines of ``names`` need is there.

    Raises:
        ConfigError: if it is not.
    """
    wanted = [name for name in names if name in AUTOMATIC]
    if wanted and find_spec(PACKAGE) is None:
        raise ConfigError(
            f"params.yaml: evaluate.baselines = {', '.join(wanted)}, {PACKAGE} is needed for them "
            "and not installed; run pip install toto-pipeline[baselines], or take them out"
        )
