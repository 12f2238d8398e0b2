"""No test reaches a server, an account or the home folder: subprocesses inherit this."""

import os
import signal
import tempfile
from pathlib import Path

os.environ["WANDB_MODE"] = "disabled"
os.environ["TOTO_PREFECT"] = "off"
os.environ["PREFECT_HOME"] = str(Path(tempfile.gettempdir()) / "toto-tests-prefect")
for key in ("PREFECT_API_URL", "PREFECT_PROFILE", "WANDB_API_KEY", "DVC_STAGE", "DVC_ROOT"):
    os.environ.pop(key, None)

# A background job of a shell ignores Ctrl-C, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
