"""The configuration of the network, in the keys of the released ``config.json``, and its sizes."""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

PATCH_SIZE = 32
HEADS = ("quantiles", "student_t")
QUANTILE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RELEASED_CONTEXT_LENGTH = 4096  # steps; arXiv:2605.20119, table 1

# Ours: config.json has them only where they differ from what is released.
_OF_THE_HEAD = ("head", "quantile_levels", "num_components")

# What all published sizes share and the network therefore has no switch for.
_FIXED: Mapping[str, object] = {
    "patch_size": PATCH_SIZE,
    "dropout_p": 0.0,
    "attn_bias": True,
    "mlp_bias": False,
    "num_output_patches": 1,
    "pre_norm": True,
    "heads_per_group": 1,
    "qk_norm": False,
    "norm_include_weight": False,
    "qk_norm_include_weight": False,
    "per_dim_scale": True,
    "use_xpos": True,
}


def attention_ratio(context_length: int) -> float:
    """How much more weight attention branches get than feed-forward branches: ``sqrt(S / ln S)``.

    ``S`` is the number of patches of ``context_length`` steps. The output of plain attention has
    variance ``ln(S) / S``; the ratio restores the balance (arXiv:2605.20119, section 4.4).

    Raises:
        ValueError: if the context is shorter than two patches or not a whole number of them.
    """
    if context_length < 2 * PATCH_SIZE or context_length % PATCH_SIZE:
        raise ValueError(
            f"context_length = {context_length}, a multiple of {PATCH_SIZE} from "
            f"{2 * PATCH_SIZE} is allowed; round it"
        )
    num_patches = context_length // PATCH_SIZE
    return math.sqrt(num_patches / math.log(num_patches))


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape and constants of a network; the fields are the keys of the released ``config.json``.

    Keys that have one value in all published sizes are kept, so that the files stay the same, and
    refused with any other value. The head is ours to choose: a model with another one than the
    released does not load in the toto-2 package.

    Attributes:
        head: ``quantiles``, or ``student_t`` for a mixture.
        quantile_levels: of the head, or of what is read off the mixture; rising, with 0.5.
        num_components: of the mixture; 0 without one.

    Raises:
        ValueError: one line for each value that the network cannot be built with.
    """

    d_model: int
    num_heads: int
    num_layers: int
    d_ff: int
    layer_group_size: int
    num_groups: int
    norm_eps: float = 1e-4
    num_variate_layers_per_group: int = 1
    variate_layer_first: bool = False
    qk_dim: int = 64
    v_dim: int = 64
    residual_mult: float = 0.75
    residual_attn_ratio: float = attention_ratio(RELEASED_CONTEXT_LENGTH)
    patch_size: int = PATCH_SIZE
    dropout_p: float = 0.0
    attn_bias: bool = True
    mlp_bias: bool = False
    num_output_patches: int = 1
    pre_norm: bool = True
    heads_per_group: int = 1
    qk_norm: bool = False
    norm_include_weight: bool = False
    qk_norm_include_weight: bool = False
    per_dim_scale: bool = True
    use_xpos: bool = True
    head: str = "quantiles"
    quantile_levels: tuple[float, ...] = QUANTILE_LEVELS
    num_components: int = 0

    def __post_init__(self) -> None:
        faults = _faults(self)
        if faults:
            raise ValueError("\n".join(f"config: {fault}" for fault in faults))

    def is_variate_layer(self, index: int) -> bool:
        """Whether layer ``index`` attends over variates, not over time."""
        place = index % self.layer_group_size
        if self.variate_layer_first:
            return place < self.num_variate_layers_per_group
        return place >= self.layer_group_size - self.num_variate_layers_per_group

    def to_json(self) -> dict[str, object]:
        """The keys and values of ``config.json``."""
        released = {
            field.name: field.default
            for field in dataclasses.fields(self)
            if field.name in _OF_THE_HEAD
        }
        values = dataclasses.asdict(self)
        return {k: v for k, v in values.items() if k not in released or v != released[k]}

    @property
    def median(self) -> int:
        """The place of the median among ``quantile_levels``."""
        return self.quantile_levels.index(0.5)


def config_from_json(values: Mapping[str, object]) -> ModelConfig:
    """The configuration that the contents of a ``config.json`` describe.

    Raises:
        ValueError: one line for each key that is unknown, missing or has a value of another type
            or one that the network does not support.
    """
    fields = {field.name: field for field in dataclasses.fields(ModelConfig)}
    faults = [
        f"config: {key} = {values[key]!r}, no such key is known; remove it"
        for key in sorted(set(values) - set(fields))
    ]
    known: dict[str, object] = {}
    for name, field in fields.items():
        if name not in values:
            if field.default is dataclasses.MISSING:
                faults.append(f"config: {name} is missing, it must be given; add it")
            continue
        known[name], fault = _typed(name, values[name], field.type)
        faults += [fault] if fault else []
    if faults:
        raise ValueError("\n".join(faults))
    return ModelConfig(**known)  # pyright: ignore[reportArgumentType]


def for_context(config: ModelConfig, context_length: int) -> ModelConfig:
    """``config`` with the residual weights that suit training at ``context_length`` steps."""
    return dataclasses.replace(config, residual_attn_ratio=attention_ratio(context_length))


def native_context(config: ModelConfig) -> int:
    """The context length, in steps, whose ``attention_ratio`` the configuration has."""
    wanted = config.residual_attn_ratio**2
    low, high = math.e, 2.0**40  # S / ln S rises from e on
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (middle, high) if middle / math.log(middle) < wanted else (low, middle)
    return max(round(low), 2) * PATCH_SIZE


def residual_taus(config: ModelConfig) -> list[tuple[float, float]]:
    """The weight tau of the attention and of the feed-forward branch of each layer.

    A branch is mixed as ``(tau * branch + skip) / sqrt(1 + tau^2)``; the rule is the one of
    u-muP (arXiv:2407.17465, appendix G.2.2) with the multipliers of Toto 2.0.
    """
    ratio, layers = config.residual_attn_ratio, config.num_layers
    alpha_mlp = config.residual_mult * math.sqrt(2 / (1 + ratio**2))
    alpha_attn = ratio * alpha_mlp
    taus = []
    for layer in range(layers):
        before = layers + layer * (alpha_attn**2 + alpha_mlp**2)
        taus.append((alpha_attn / math.sqrt(before), alpha_mlp / math.sqrt(before + alpha_attn**2)))
    return taus


def _faults(config: ModelConfig) -> list[str]:
    faults = [
        f"{name} = {getattr(config, name)!r}, only {allowed!r} is supported; use a released value"
        for name, allowed in _FIXED.items()
        if getattr(config, name) != allowed
    ]
    for name in ("d_model", "num_heads", "num_layers", "d_ff", "layer_group_size"):
        if getattr(config, name) < 1:
            faults.append(f"{name} = {getattr(config, name)}, at least 1 is allowed; raise it")
    if config.num_groups != config.num_heads:
        faults.append(f"num_groups = {config.num_groups}, only num_heads = {config.num_heads}"
                      " is supported; make them equal")  # fmt: skip
    for name in ("qk_dim", "v_dim"):
        width = getattr(config, name)
        if width * config.num_heads != config.d_model:
            faults.append(f"{name} = {width}, only d_model / num_heads = {config.d_model} / "
                          f"{config.num_heads} is supported; make them agree")  # fmt: skip
    if config.qk_dim % 4:
        faults.append(f"qk_dim = {config.qk_dim}, a multiple of 4 is allowed; change it")
    if not 0 <= config.num_variate_layers_per_group <= config.layer_group_size:
        faults.append(
            f"num_variate_layers_per_group = {config.num_variate_layers_per_group}, 0 to "
            f"layer_group_size = {config.layer_group_size} is allowed; change it"
        )
    for name in ("norm_eps", "residual_mult", "residual_attn_ratio"):
        value = getattr(config, name)
        if not (math.isfinite(value) and value > 0):
            faults.append(f"{name} = {value}, a positive number is allowed; change it")
    return faults + _head_faults(config)


def _head_faults(config: ModelConfig) -> list[str]:
    if config.head not in HEADS:
        return [f"head = {config.head!r}, one of {', '.join(HEADS)} is allowed; choose one"]
    faults = []
    levels = config.quantile_levels
    rising = all(low < high for low, high in itertools.pairwise((0.0, *levels, 1.0)))
    if not rising or 0.5 not in levels:
        faults.append(
            f"quantile_levels = {list(levels)}, rising numbers between 0 and 1 with 0.5 among "
            "them are allowed; mend them"
        )
    lowest, highest = (1, math.inf) if config.head == "student_t" else (0, 0)
    if not lowest <= config.num_components <= highest:
        allowed = "at least 1" if lowest else "only 0"
        faults.append(
            f"num_components = {config.num_components}, {allowed} is allowed with head = "
            f"{config.head}; change it"
        )
    return faults


def _typed(name: str, value: object, wanted: object) -> tuple[object, str | None]:
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if wanted == tuple[float, ...]:
        if isinstance(value, list | tuple) and {type(v) for v in value} <= {int, float}:
            return tuple(map(float, value)), None
        return None, f"config: {name} = {value!r}, a list of numbers is allowed; change it"
    if type(value) is not wanted:
        kind = wanted.__name__ if isinstance(wanted, type) else wanted
        return None, f"config: {name} = {value!r}, a value of type {kind} is allowed; change it"
    return value, None


def _size(
    d_model: int, num_heads: int, num_layers: int, d_ff: int, norm_eps: float = 1e-4
) -> ModelConfig:
    return ModelConfig(
        d_model=d_model,
        num_heads=num_heads,
        num_layers=num_layers,
        d_ff=d_ff,
        layer_group_size=num_layers,
        num_groups=num_heads,
        norm_eps=norm_eps,
    )


# The five published sizes (their config.json files) and two smaller ones for CPUs.
SIZES: Mapping[str, ModelConfig] = {
    "nano": _size(64, 1, 3, 176),
    "1m": _size(128, 2, 4, 344),
    "4m": _size(256, 4, 4, 688),
    "22m": _size(512, 8, 6, 1368),
    "313m": _size(1024, 16, 24, 2736),
    "1b": _size(1536, 24, 36, 4096, 5e-4),
    "2.5b": _size(2048, 32, 48, 5464, 5e-4),
}
