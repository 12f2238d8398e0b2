"""No test reaches a server or an account: subprocesses inherit this environment."""

import os

os.environ.update({"WANDB_MODE": "disabled", "TOTO_PREFECT": "off", "PREFECT_HOME": "/nonexistent"})
for key in ("PREFECT_API_URL", "PREFECT_PROFILE", "WANDB_API_KEY", "DVC_STAGE", "DVC_ROOT"):
    os.environ.pop(key, None)
