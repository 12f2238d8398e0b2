"""No test reaches a server, an account or the home folder: subprocesses inherit this."""

import os
import tempfile
from pathlib import Path

os.environ["WANDB_MODE"] = "disabled"
os.environ["TOTO_PREFECT"] = "off"
os.environ["PREFECT_HOME"] = str(Path(tempfile.gettempdir()) / "toto-tests-prefect")
for key in ("PREFECT_API_URL", "PREFECT_PROFILE", "WANDB_API_KEY", "DVC_STAGE", "DVC_ROOT"):
    os.environ.pop(key, None)
