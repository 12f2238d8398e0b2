"""How a model is trained: the values of the ``train`` section of ``params.yaml``."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Optimisation, masking, validation and checkpoints of one training run.

    The fields are those of ``params.yaml``, where their units and ranges stand; those who call
    the library check them.
    """

    max_steps: int
    batch_size: int
    num_variates: int
    accumulation: int
    lr: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    warmup_share: float
    decay_share: float
    max_grad_norm: float
    loss_scale: float
    ema_decay: float
    precision: Literal["auto", "float32", "bfloat16"]
    max_span: int
    max_mask_rate: float
    noise_std: float
    time_mask_probability: float
    validate_every: int
    validation_windows: int
    patience: int
    keep_best: int
    checkpoint_interval_s: float
