"""How a model is trained: the values of the ``train`` section of ``params.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """Which parameters of a given model learn."""

    method: Literal["full", "last_layers", "lora"]
    num_layers: int
    rank: int
    alpha: float


@dataclass(frozen=True, kw_only=True)
class NorMuonSettings:
    """The optimiser of the matrices of the stack."""

    lr: float
    width_rule: Literal["published", "transfer"]
    momentum: float
    beta2: float
    weight_decay: float


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """What is changed on the fly while a batch is drawn: a probability each, 0 = never.

    ``data.augmentation`` says what each one does.
    """

    resample: float = 0.0
    mixup: float = 0.0
    variate_shuffle: float = 0.0
    time_warp: float = 0.0
    time_flip: float = 0.0
    amplitude_modulation: float = 0.0
    censoring: float = 0.0
    spikes: float = 0.0
    sign_flip: float = 0.0
    noise: float = 0.0
    noise_std: float = 0.0
    gaps: float = 0.0
    time_mask: float = 0.0
    variate_dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Optimisation, masking, validation, checkpoints and machinery of one training run.

    The fields are those of ``params.yaml``, where their units and ranges stand; those who call
    the library check them.
    """

    init: str | None
    finetune: FinetuneSettings
    max_steps: int
    max_minutes: float | None
    batch_size: int
    num_variates: int
    accumulation: int
    optimizer: Literal["adamw", "normuon"]
    normuon: NorMuonSettings
    lr: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    schedule: Literal["wsd", "cosine"]
    warmup_share: float
    decay_share: float
    max_grad_norm: float
    loss_scale: float
    huber_share: float
    huber_delta: float
    nll_share: float
    ema_decay: float
    max_span: int
    max_mask_rate: float
    augment: AugmentSettings
    validate_every: int
    validation_windows: int
    patience: int
    keep_best: int
    checkpoint_interval_s: float
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bfloat16"]
    compile: Literal["none", "default", "max-autotune"]
    cuda_graphs: bool
    activation_checkpointing: bool
    processes: int
    parallel: Literal["ddp", "fsdp2"]
    data_workers: int

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "TrainSettings":
        """Build the settings from the ``train`` section as plain values."""
        nested = {
            "finetune": FinetuneSettings(**values["finetune"]),
            "normuon": NorMuonSettings(**values["normuon"]),
            "augment": AugmentSettings(**values["augment"]),
        }
        return cls(**{**values, **nested})
