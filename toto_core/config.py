"""The typed form of ``params.yaml``: every value of a run, with the range it may have."""

import itertools
import re
from collections.abc import Hashable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from toto_core.errors import ConfigError

PATCH_SIZE = 32
JUDGED_LEVELS = (0.1, 0.9)  # the lowest and the highest that the stage evaluate asks for

Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
OpenShare = Annotated[float, Field(ge=0, lt=1)]


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the lower end first; swap them")
    return pair


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]


def _levels(levels: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in itertools.pairwise(levels)):
        raise ValueError("rising numbers, each once; sort them")
    if 0.5 not in levels:
        raise ValueError("0.5 must be among them, the median is fed back; add it")
    lowest, highest = JUDGED_LEVELS
    if levels[0] > lowest or levels[-1] < highest:
        raise ValueError(f"{lowest} to {highest} must be spanned, they are judged; add levels")
    return levels


Levels = Annotated[
    tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1), AfterValidator(_levels)
]


class Section(BaseModel):
    """A section of ``params.yaml``: immutable, complete, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: object, info: Any) -> object:  # noqa: ANN401
        wanted = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and wanted is not bool:  # pydantic would read it as 0 or 1
            raise ValueError("a value of another type is needed; change it")
        return value


class DemoParams(Section):
    """The simulated cloud fleet."""

    num_services: PositiveInt
    num_days: PositiveInt
    freq: str


class PrometheusParams(Section):
    """Range queries to a Prometheus server; one variate for each query."""

    url: str
    queries: Annotated[Mapping[str, str], Field(min_length=1)]
    start: AwareDatetime
    end: AwareDatetime
    step: str
    item_labels: tuple[str, ...] = ()
    timeout_s: PositiveFloat = 60.0

    @model_validator(mode="after")
    def _url_is_plain(self) -> "PrometheusParams":
        # Checked here, not at the field, so that no message shows what may be a password.
        if not re.fullmatch(r"https?://[^/@\s]+(/[^@\s]*)?", self.url):
            raise ValueError(
                "url is not plain, http:// or https:// without user and password is needed; "
                "give those in TOTO_PROMETHEUS_AUTHORIZATION"
            )
        return self

    @model_validator(mode="after")
    def _starts_first(self) -> "PrometheusParams":
        if self.start >= self.end:
            raise ValueError(
                f"start = {self.start.isoformat()}, before end = {self.end.isoformat()}; swap them"
            )
        return self


class SqlParams(Section):
    """A query to a data base."""

    uri: str | None = None
    uri_env: str | None = None
    query: str

    @model_validator(mode="after")
    def _one_uri_without_password(self) -> "SqlParams":
        if (self.uri is None) == (self.uri_env is None):
            raise ValueError(
                "uri and uri_env = both or none, one of them is needed; uri_env names a variable "
                "of the environment"
            )
        if self.uri is not None and "@" in self.uri:
            raise ValueError(
                "uri names a user, a URI without user and password is allowed in this file; "
                "put it into a variable of the environment and name that in uri_env"
            )
        return self


class IngestParams(Section):
    """Where the series come from and what their columns are."""

    source: Literal["demo", "files", "prometheus", "sql"]
    paths: tuple[str, ...]
    layout: Literal["auto", "long", "wide", "per_file", "gluonts"]
    item_id: str | None
    timestamp: str | None
    targets: tuple[str, ...]
    past_covariates: tuple[str, ...]
    known_covariates: tuple[str, ...]
    freq: str | None
    timezone: str
    group_pattern: str | None
    prometheus: PrometheusParams | None
    sql: SqlParams | None
    demo: DemoParams

    @model_validator(mode="after")
    def _source_is_described(self) -> "IngestParams":
        if self.source == "files" and not self.paths:
            raise ValueError("paths = [], at least one path where source is files; name your files")
        for name in ("prometheus", "sql"):
            if self.source == name and getattr(self, name) is None:
                raise ValueError(f"{name} = null, its settings where source is {name}; give them")
        return self

    @model_validator(mode="after")
    def _covariates_are_queries(self) -> "IngestParams":
        queries = self.prometheus.queries if self.prometheus else {}
        for key in ("past_covariates", "known_covariates"):
            for name in getattr(self, key) if self.source == "prometheus" else ():
                if name not in queries:
                    raise ValueError(
                        f"{key} = {name!r}, one of {', '.join(queries)} as in prometheus.queries; "
                        "mend the name"
                    )
        return self


class OhlcColumns(Section):
    """The variates that form a price bar."""

    open: str
    high: str
    low: str
    close: str
    volume: str | None = None


class ValidateParams(Section):
    """What a row and a series must satisfy."""

    min_length: PositiveInt
    max_missing_share: Share
    max_irregular_share: Share
    max_items: PositiveInt | None
    max_variates: PositiveInt | None
    bounds: Mapping[str, Range]
    max_repeats: Mapping[str, PositiveInt]
    max_spike: Mapping[str, PositiveFloat]
    counters: tuple[str, ...]
    ohlc: OhlcColumns | None
    splits: Literal["adjust", "quarantine"] | None
    drop_last: NonNegativeInt
    max_quarantined: Share

    @model_validator(mode="after")
    def _splits_need_bars(self) -> "ValidateParams":
        if self.splits and (self.ohlc is None or self.ohlc.volume is None):
            raise ValueError(
                f"splits = {self.splits}, null is allowed without ohlc and its volume, by which "
                "a split differs from a crash; name the columns"
            )
        return self


class SplitParams(Section):
    """Cut-offs, origins, held-out groups and folds."""

    scheme: Literal["rolling", "gift_eval"]
    prediction_length: PositiveInt
    stride: PositiveInt
    num_test_origins: PositiveInt
    num_validation_origins: PositiveInt
    test_end: AwareDatetime | None
    min_context: PositiveInt
    held_out_share: OpenShare
    num_folds: PositiveInt

    @field_validator("test_end", mode="before")
    @classmethod
    def _dvc_reads_text(cls, value: object) -> object:
        if isinstance(value, date):  # datetime is one too
            raise ValueError("a text is needed, DVC cannot read a bare date; put it in quotes")
        return value


class FamilyWeights(Section):
    """How often each synthetic family is drawn."""

    trend_season: NonNegativeFloat
    daily_weekly: NonNegativeFloat
    daily_counts: NonNegativeFloat
    solar: NonNegativeFloat
    weather: NonNegativeFloat
    road_traffic: NonNegativeFloat
    drifting_season: NonNegativeFloat
    copied_pattern: NonNegativeFloat
    autoregressive: NonNegativeFloat
    seasonal_arima: NonNegativeFloat
    exponential_smoothing: NonNegativeFloat
    random_walk: NonNegativeFloat
    regime_ou: NonNegativeFloat
    gaussian_process: NonNegativeFloat
    kernel_synth: NonNegativeFloat
    sawtooth: NonNegativeFloat
    sine_waves: NonNegativeFloat
    step_patterns: NonNegativeFloat
    spike_train: NonNegativeFloat
    periodic_anomalies: NonNegativeFloat
    shifts_spikes: NonNegativeFloat
    saturating_growth: NonNegativeFloat
    epidemic: NonNegativeFloat
    exponential_growth: NonNegativeFloat
    life_cycle: NonNegativeFloat
    economy: NonNegativeFloat
    intermittent: NonNegativeFloat
    seasonal_counts: NonNegativeFloat
    request_rate: NonNegativeFloat
    utilisation: NonNegativeFloat
    collected_memory: NonNegativeFloat
    disk_space: NonNegativeFloat
    counter: NonNegativeFloat
    latency: NonNegativeFloat
    error_count: NonNegativeFloat
    scheduled_jobs: NonNegativeFloat
    batch_jobs: NonNegativeFloat
    bursty_gauge: NonNegativeFloat
    queue_depth: NonNegativeFloat
    causal_graph: NonNegativeFloat
    mixed_factors: NonNegativeFloat
    lead_lag: NonNegativeFloat
    cointegrated: NonNegativeFloat
    hierarchy: NonNegativeFloat
    service: NonNegativeFloat
    price_bars: NonNegativeFloat
    sites: NonNegativeFloat
    weather_station: NonNegativeFloat


class MixtureParams(Section):
    """How often the items of the corpus are drawn."""

    size_exponent: Share
    temperature: PositiveFloat
    frequency_balance: Share
    sources: Mapping[str, NonNegativeFloat]


class AugmentParams(Section):
    """The training corpus: real and synthetic series and their mixture."""

    synthetic_share: Share
    num_synthetic: NonNegativeInt
    synthetic_length: PositiveInt
    families: FamilyWeights
    mixture: MixtureParams


class ModelParams(Section):
    """The network's size, what it sees and what it says."""

    size: str
    context_length: Annotated[int, Field(ge=2 * PATCH_SIZE, multiple_of=PATCH_SIZE)]
    head: Literal["quantiles", "student_t"]
    quantile_levels: Levels
    num_components: PositiveInt


class FinetuneParams(Section):
    """Which parameters of ``train.init`` learn."""

    method: Literal["full", "last_layers", "lora"]
    num_layers: PositiveInt
    rank: PositiveInt
    alpha: PositiveFloat


class NorMuonParams(Section):
    """The optimiser of the matrices of the stack."""

    lr: PositiveFloat
    width_rule: Literal["published", "transfer"]
    momentum: OpenShare
    beta2: OpenShare
    weight_decay: NonNegativeFloat


class WindowAugmentParams(Section):
    """What is changed on the fly while a batch is drawn."""

    resample: Share
    mixup: Share
    variate_shuffle: Share
    time_warp: Share
    time_flip: Share
    amplitude_modulation: Share
    censoring: Share
    spikes: Share
    sign_flip: Share
    noise: Share
    noise_std: NonNegativeFloat
    gaps: Share
    time_mask: Share
    variate_dropout: Share


class TrainParams(Section):
    """Optimisation, masking, on-the-fly augmentation, validation, checkpoints and machinery."""

    init: str | None
    finetune: FinetuneParams
    max_steps: NonNegativeInt
    max_minutes: PositiveFloat | None
    batch_size: PositiveInt
    num_variates: PositiveInt
    accumulation: PositiveInt
    optimizer: Literal["adamw", "normuon"]
    normuon: NorMuonParams
    lr: PositiveFloat
    beta1: OpenShare
    beta2: OpenShare
    eps: PositiveFloat
    weight_decay: NonNegativeFloat
    schedule: Literal["wsd", "cosine"]
    warmup_share: Share
    decay_share: Share
    max_grad_norm: PositiveFloat
    loss_scale: PositiveFloat
    huber_share: Share
    huber_delta: PositiveFloat
    nll_share: Share
    ema_decay: OpenShare
    max_span: PositiveInt
    max_mask_rate: Share
    augment: WindowAugmentParams
    validate_every: PositiveInt
    validation_windows: PositiveInt
    patience: PositiveInt
    keep_best: PositiveInt
    checkpoint_interval_s: NonNegativeFloat
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bfloat16"]
    compile: Literal["none", "default", "max-autotune"]
    cuda_graphs: bool
    activation_checkpointing: bool
    processes: PositiveInt
    parallel: Literal["ddp", "fsdp2"]
    data_workers: NonNegativeInt

    @model_validator(mode="after")
    def _is_shared_out_evenly(self) -> "TrainParams":
        if self.accumulation % self.processes:
            raise ValueError(
                f"accumulation = {self.accumulation}, a multiple of processes = {self.processes} "
                "is allowed; raise accumulation or lower processes"
            )
        return self


Baseline = Literal[
    "naive",
    "naive_gaussian",
    "drift",
    "seasonal_naive",
    "moving_average",
    "auto_theta",
    "auto_ets",
]
MANDATORY_BASELINES = ("naive", "drift", "seasonal_naive")


def _mandatory_and_more(baselines: tuple[str, ...]) -> tuple[str, ...]:
    if missing := [name for name in MANDATORY_BASELINES if name not in baselines]:
        names = ", ".join(missing)
        raise ValueError(f"{names} must be among them, the gate asks for them; add them")
    if len(set(baselines)) < len(baselines):
        raise ValueError("each once is allowed; remove what stands twice")
    return baselines


class CrossvalParams(Section):
    """The budget of each rolling refit."""

    max_steps: NonNegativeInt


class CalibrateParams(Section):
    """How the candidate's quantiles are corrected by those at validation origins."""

    method: Literal["none", "pooled", "per_step"]
    shrinkage: bool
    max_forecasts: PositiveInt
    min_origins: Annotated[int, Field(ge=2)]
    min_scores: PositiveInt


def _a_season(value: object) -> object:
    # Before the union is tried, whose faults name each of its members.
    if value is None or value == "auto" or (isinstance(value, int) and value > 0):
        return value
    raise ValueError("an integer greater than 0, auto or null is needed; change it")


class EvaluateParams(Section):
    """Baselines and forecasting of the test period."""

    baselines: Annotated[tuple[Baseline, ...], AfterValidator(_mandatory_and_more)]
    seasonality: Annotated[int | Literal["auto"] | None, BeforeValidator(_a_season)]
    naive_window: PositiveInt
    moving_window: PositiveInt
    auto_budget: PositiveFloat
    batch_size: PositiveInt


class RegisterParams(Section):
    """The thresholds of the registration gate (docs/evaluation.md)."""

    margin: OpenShare
    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    min_origins: PositiveInt
    min_fold_wins: Annotated[int, Field(ge=0, le=5)]
    max_fold_loss: NonNegativeFloat
    min_item_wins: Share
    max_group_loss: NonNegativeFloat
    max_variate_loss: NonNegativeFloat
    min_median_skill: Annotated[float, Field(gt=-1, lt=1)]
    coverage: Annotated[tuple[Share, Share], AfterValidator(_ascending)]
    max_coverage_error: PositiveShare
    max_attempts: PositiveInt
    max_successor_loss: NonNegativeFloat
    licences: Mapping[str, str]


class Params(Section):
    """The whole of ``params.yaml``."""

    seed: NonNegativeInt
    ingest: IngestParams
    validate_: ValidateParams = Field(alias="validate")
    split: SplitParams
    augment: AugmentParams
    model: ModelParams
    train: TrainParams
    crossval: CrossvalParams
    calibrate: CalibrateParams
    evaluate: EvaluateParams
    register_: RegisterParams = Field(alias="register")


class _Loader(yaml.SafeLoader):
    """YAML as DVC reads it: 1e-3 is a number, with or without a point, and no key stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {key} stands twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def load_params(path: Path) -> Params:
    """Read and check ``params.yaml``.

    Raises:
        ConfigError: one line for each fault of the file: key, value found, what is allowed.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: not found, a file is needed; run from the project's root"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}; mend the YAML") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: {type(values).__name__}, a mapping of sections is needed")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_faults(path, error))) from None


def _faults(path: Path, error: ValidationError) -> list[str]:
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"][0].lower() + fault["msg"][1:]
        if fault["type"] == "missing":
            lines.append(f"{path}: {key} is missing, it must be given; add it")
        elif fault["type"] == "value_error":
            found = "." if isinstance(fault["input"], dict) else f" = {fault['input']}, "
            lines.append(f"{path}: {key}{found}{fault.get('ctx', {}).get('error')}")
        elif fault["type"] == "extra_forbidden":
            lines.append(
                f"{path}: {key} is unknown, no such key exists; remove it or mend its name"
            )
        else:
            lines.append(f"{path}: {key} = {fault['input']!r}, {message}; change it")
    return lines
