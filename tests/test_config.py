import copy
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from toto_core.config import JUDGED_LEVELS, Params, load_params
from toto_core.errors import ConfigError
from toto_core.evaluation.metrics import QUANTILE_LEVELS

ROOT = Path(__file__).parents[1]
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write values, keyed by dotted path, over those of the repository's params.yaml."""
    monkeypatch.chdir(tmp_path)

    def write(changes: dict[str, Any]) -> Path:
        values = copy.deepcopy(VALUES)
        for path, value in changes.items():
            *folders, name = path.split(".")
            section = values
            for folder in folders:
                section = section[folder]
            if value is ...:
                del section[name]
            else:
                section[name] = value
        Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        return Path("params.yaml")

    return write


def message(path: Path) -> str:
    with pytest.raises(ConfigError) as info:
        load_params(path)
    assert info.value.exit_code == 2
    return str(info.value)


def test_params_of_the_repository_are_read_as_written() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.model_dump(by_alias=True, mode="json") == VALUES


def test_params_cannot_be_changed() -> None:
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        params.train.lr = 1.0  # type: ignore[misc]


def leaves(model: type[Params]) -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        key = field.alias or name
        if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
            found += [f"{key}.{leaf}" for leaf in leaves(annotation)]
        else:
            found.append(key)
    return found


@pytest.mark.parametrize("key", leaves(Params))
def test_every_parameter_must_be_given(write: Write, key: str) -> None:
    expected = f"params.yaml: {key} is missing, it must be given; add it"
    assert message(write({key: ...})) == expected


@pytest.mark.parametrize("section", ["", *(key for key, part in VALUES.items() if key != "seed")])
def test_unknown_keys_are_refused_in_every_section(write: Write, section: str) -> None:
    key = f"{section}.num_fold" if section else "num_fold"
    assert message(write({key: 3})) == (
        f"params.yaml: {key} is unknown, no such key exists; remove it or mend its name"
    )


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("seed", -1, "input should be greater than or equal to 0"),
        ("ingest.source", "file", "input should be 'demo', 'files', 'prometheus' or 'sql'"),
        (
            "ingest.layout",
            "tall",
            "input should be 'auto', 'long', 'wide', 'per_file' or 'gluonts'",
        ),
        ("ingest.demo.num_services", 0, "input should be greater than 0"),
        ("validate.max_quarantined", 2, "input should be less than or equal to 1"),
        ("validate.min_length", 0, "input should be greater than 0"),
        ("validate.max_items", 0, "input should be greater than 0"),
        ("validate.max_variates", 0, "input should be greater than 0"),
        ("validate.drop_last", -1, "input should be greater than or equal to 0"),
        ("split.prediction_length", 0, "input should be greater than 0"),
        ("split.held_out_share", 1.0, "input should be less than 1"),
        ("split.num_folds", 0, "input should be greater than 0"),
        ("augment.synthetic_share", 1.5, "input should be less than or equal to 1"),
        ("augment.mixture.size_exponent", 1.5, "input should be less than or equal to 1"),
        ("augment.mixture.temperature", 0, "input should be greater than 0"),
        ("augment.mixture.frequency_balance", -1, "input should be greater than or equal to 0"),
        ("augment.families.intermittent", -1.0, "input should be greater than or equal to 0"),
        ("model.context_length", 500, "input should be a multiple of 32"),
        ("model.context_length", 32, "input should be greater than or equal to 64"),
        ("model.head", "normal", "input should be 'quantiles' or 'student_t'"),
        ("model.num_components", 0, "input should be greater than 0"),
        ("train.huber_share", 1.5, "input should be less than or equal to 1"),
        ("train.huber_delta", 0, "input should be greater than 0"),
        ("train.nll_share", -0.1, "input should be greater than or equal to 0"),
        ("train.lr", 0.0, "input should be greater than 0"),
        ("train.beta2", 1.0, "input should be less than 1"),
        ("train.precision", "half", "input should be 'auto', 'float32' or 'bfloat16'"),
        ("train.max_steps", 1.5, "input should be a valid integer, got a number with a fractional"),
        ("crossval.max_steps", "many", "input should be a valid integer, unable to parse string"),
        ("calibrate.method", "isotonic", "input should be 'none', 'pooled' or 'per_step'"),
        ("calibrate.min_origins", 1, "input should be greater than or equal to 2"),
        ("evaluate.seasonality", 0, "an integer greater than 0, auto or null is needed"),
        ("evaluate.seasonality", -24, "an integer greater than 0, auto or null is needed"),
        ("register.alpha", 0.5, "input should be less than 0.5"),
        ("register.min_fold_wins", 6, "input should be less than or equal to 5"),
        ("register.max_coverage_error", 0, "input should be greater than 0"),
    ],
)
def test_value_outside_its_range_is_told_with_key_and_range(
    write: Write, key: str, value: object, allowed: str
) -> None:
    told = message(write({key: value}))
    assert told.startswith(f"params.yaml: {key} = {value!r}, {allowed}")
    assert told.endswith("; change it")
    assert "\n" not in told


@pytest.mark.parametrize("value", [float("nan"), -1.0])
@pytest.mark.parametrize("key", ["train.lr", "train.weight_decay", "augment.synthetic_share"])
def test_number_that_is_not_one_is_refused(write: Write, key: str, value: float) -> None:
    assert message(write({key: value})).startswith(f"params.yaml: {key} = {value!r}, input should")


@pytest.mark.parametrize(
    ("levels", "line"),
    [
        ([0.1, 0.9, 0.5], "rising numbers, each once; sort them"),
        ([0.1, 0.5, 0.5, 0.9], "rising numbers, each once; sort them"),
        ([0.1, 0.4, 0.9], "0.5 must be among them, the median is fed back; add it"),
        ([0.2, 0.5, 0.9], "0.1 to 0.9 must be spanned, they are judged; add levels"),
        ([0.1, 0.5, 0.8], "0.1 to 0.9 must be spanned, they are judged; add levels"),
    ],
)
def test_levels_that_cannot_be_used_are_refused(
    write: Write, levels: list[float], line: str
) -> None:
    expected = f"params.yaml: model.quantile_levels = {levels}, {line}"
    assert message(write({"model.quantile_levels": levels})) == expected


def test_levels_outside_0_to_1_are_refused(write: Write) -> None:
    assert message(write({"model.quantile_levels": [0.0, 0.5, 1.0]})).splitlines() == [
        "params.yaml: model.quantile_levels.0 = 0.0, input should be greater than 0; change it",
        "params.yaml: model.quantile_levels.2 = 1.0, input should be less than 1; change it",
    ]
    told = message(write({"model.quantile_levels": []}))
    assert told.startswith("params.yaml: model.quantile_levels = [], tuple should have at least 1")


@pytest.mark.parametrize(
    ("baselines", "line"),
    [
        (
            ["naive", "naive_gaussian"],
            "drift, seasonal_naive must be among them, the gate asks for them; add them",
        ),
        (
            ["naive", "drift", "seasonal_naive", "naive"],
            "each once is allowed; remove what stands twice",
        ),
    ],
)
def test_the_baselines_of_the_gate_cannot_be_removed(
    write: Write, baselines: list[str], line: str
) -> None:
    expected = f"params.yaml: evaluate.baselines = {baselines}, {line}"
    assert message(write({"evaluate.baselines": baselines})) == expected


def test_levels_must_span_what_the_evaluation_judges() -> None:
    assert (QUANTILE_LEVELS[0], QUANTILE_LEVELS[-1]) == JUDGED_LEVELS


def test_files_need_paths(write: Write) -> None:
    assert message(write({"ingest.source": "files", "ingest.paths": []})) == (
        "params.yaml: ingest.paths = [], at least one path where source is files; name your files"
    )


PROMETHEUS = {
    "url": "http://localhost:9090",
    "queries": {"cpu": "cpu"},
    "start": "2025-01-01T00:00:00Z",
    "end": "2025-02-01T00:00:00Z",
    "step": "1min",
}
PLAIN_URL = (
    "params.yaml: ingest.prometheus.url is not plain, http:// or https:// without user and "
    "password is needed; give those in TOTO_PROMETHEUS_AUTHORIZATION"
)
NO_PASSWORD = (
    "params.yaml: ingest.sql.uri names a user, a URI without user and password is allowed in this "
    "file; put it into a variable of the environment and name that in uri_env"
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"ingest.source": "prometheus"},
            "params.yaml: ingest.prometheus = null, its settings where source is prometheus; "
            "give them",
        ),
        (
            {"ingest.source": "sql"},
            "params.yaml: ingest.sql = null, its settings where source is sql; give them",
        ),
        ({"ingest.prometheus": PROMETHEUS | {"url": "http://me:secret@host"}}, PLAIN_URL),
        ({"ingest.prometheus": PROMETHEUS | {"url": "localhost:9090"}}, PLAIN_URL),
        (
            {"ingest.prometheus": PROMETHEUS | {"end": "2025-01-01T00:00:00Z"}},
            "params.yaml: ingest.prometheus.start = 2025-01-01T00:00:00+00:00, before end = "
            "2025-01-01T00:00:00+00:00; swap them",
        ),
        (
            {
                "ingest.source": "prometheus",
                "ingest.prometheus": PROMETHEUS,
                "ingest.past_covariates": ["memory"],
            },
            "params.yaml: ingest.past_covariates = 'memory', one of cpu as in prometheus.queries; "
            "mend the name",
        ),
        ({"ingest.sql": {"uri": "postgresql://me:secret@host/base", "query": "x"}}, NO_PASSWORD),
        (
            {"ingest.sql": {"uri": "sqlite:///x", "uri_env": "BASE", "query": "x"}},
            "params.yaml: ingest.sql.uri and uri_env = both or none, one of them is needed; "
            "uri_env names a variable of the environment",
        ),
    ],
)
def test_server_must_be_described_without_its_password(
    write: Write, changes: dict[str, Any], expected: str
) -> None:
    found = message(write(changes))
    assert found == expected
    assert "secret" not in found


def test_accumulation_is_shared_out_evenly(write: Write) -> None:
    assert message(write({"train.accumulation": 4, "train.processes": 3})) == (
        "params.yaml: train.accumulation = 4, a multiple of processes = 3 is allowed; raise "
        "accumulation or lower processes"
    )


def test_bare_date_is_refused_because_dvc_cannot_read_it(write: Write) -> None:
    when = datetime(2024, 1, 1, tzinfo=UTC)
    assert message(write({"split.test_end": when})) == (
        "params.yaml: split.test_end = 2024-01-01 00:00:00+00:00, a text is needed, DVC cannot "
        "read a bare date; put it in quotes"
    )


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        pytest.param(
            "train.lr", float("inf"), "= inf, input should be a finite number", id="infinite"
        ),
        pytest.param(
            "train.max_steps", True, "= True, a value of another type is needed", id="yes or no"
        ),
        pytest.param(
            "register.coverage", [0.9, 0.1], "= [0.9, 0.1], the lower end first", id="share range"
        ),
        pytest.param(
            "validate.bounds", {"x": [9, 1]}, ".x = [9, 1], the lower end first", id="bounds"
        ),
        pytest.param(
            "validate.max_repeats", {"x": 0}, ".x = 0, input should be greater than 0", id="repeats"
        ),
        pytest.param(
            "validate.max_spike", {"x": 0}, ".x = 0, input should be greater than 0", id="spike"
        ),
    ],
)
def test_value_that_makes_no_sense_is_refused(
    write: Write, key: str, value: object, told: str
) -> None:
    separator = "" if told.startswith(".") else " "
    assert message(write({key: value})).startswith(f"params.yaml: {key}{separator}{told}")


@pytest.mark.parametrize(
    "ohlc", [None, {"open": "cpu", "high": "cpu", "low": "cpu", "close": "cpu"}]
)
def test_splits_without_the_volume_of_the_bars_are_refused(write: Write, ohlc: object) -> None:
    assert message(write({"validate.splits": "adjust", "validate.ohlc": ohlc})) == (
        "params.yaml: validate.splits = adjust, null is allowed without ohlc and its volume, by "
        "which a split differs from a crash; name the columns"
    )


def test_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("seed: 0\nseed: 1\n")
    with pytest.raises(ConfigError, match="line 1: seed stands twice; mend the YAML"):
        load_params(path)


def test_time_stamp_needs_a_zone(write: Write) -> None:
    told = message(write({"split.test_end": "2024-01-01 00:00:00"}))
    assert "split.test_end = '2024-01-01 00:00:00', input should have timezone info" in told


def test_all_faults_of_a_file_are_told_together(write: Write) -> None:
    told = message(
        write({"seed": "x", "train.lr": -1, "split.num_folds": ..., "model.sise": "nano"})
    )
    assert sorted(line.split(" ")[1] for line in told.splitlines()) == [
        "model.sise",
        "seed",
        "split.num_folds",
        "train.lr",
    ]


@pytest.mark.parametrize("text", ["1e-3", "1.e-3", ".1e-2", "1E-3", "0.001"])
def test_number_is_the_one_that_dvc_reads(write: Write, text: str) -> None:
    path = write({"train.lr": "LR"})
    path.write_text(path.read_text(encoding="utf-8").replace("LR", text), encoding="utf-8")
    assert load_params(path).train.lr == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "params.yaml: NoneType, a mapping of sections is needed"),
        (b"- seed\n", "params.yaml: list, a mapping of sections is needed"),
        (b"seed: [\n", "params.yaml: while parsing a flow node"),
        (b"\xff\xfe\x00seed", "params.yaml: 'utf-8' codec can't decode byte 0xff in position 0"),
    ],
    ids=["empty", "list", "torn", "binary"],
)
def test_file_that_is_no_mapping_is_told_in_one_line(
    write: Write, content: bytes, expected: str
) -> None:
    path = write({})
    path.write_bytes(content)
    told = message(path)
    assert told.startswith(expected)
    assert "\n" not in told


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    assert message(path) == f"{path}: not found, a file is needed; run from the project's root"
