"""``toto plan``: any size on any machine, from params.yaml alone, and the numbers are right."""

import re
import shutil
import time
from pathlib import Path

import pytest
import yaml
from toy_project import command

from flows.plan import plan_text
from toto_core.errors import ConfigError

PARAMS = Path(__file__).parents[2] / "params.yaml"
FINETUNE = {"num_layers": 1, "rank": 8, "alpha": 8.0}
# research on the published checkpoints; docs/recipe.md
PARAMETERS = {
    "nano": 298_112,
    "1m": 1_151_040,
    "4m": 4_144_448,
    "22m": 21_915_584,
    "313m": 312_684_608,
    "1b": 1_041_033_024,
    "2.5b": 2_454_281_792,
}


@pytest.fixture
def root(tmp_path):
    shutil.copy(PARAMS, tmp_path)
    return tmp_path


def change(root, section, **changes):
    values = yaml.safe_load((root / "params.yaml").read_text())
    values[section] |= changes
    (root / "params.yaml").write_text(yaml.safe_dump(values))


def plan(root, *, size=None, processes=None, mfu=0.4, tflops=100.0):
    return plan_text(root, size=size, processes=processes, mfu=mfu, tflops=tflops)


def table(text, title):
    """The rows below ``title``, by their first cell."""
    lines = text.partition(title)[2].split("\n\n")[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return rows[0][1:], {row[0]: row[1:] for row in rows[2:]}


@pytest.mark.parametrize(
    "size",
    [pytest.param(size, marks=() if size == "2.5b" else pytest.mark.slow) for size in PARAMETERS],
)
def test_every_size_can_be_planned_on_a_laptop(root, size):
    start = time.process_time()
    text = plan(root, size=size, processes=8)
    assert time.process_time() - start < 20  # building 2.5b would take minutes
    assert text.startswith(f"{size}: {PARAMETERS[size]:,} parameters in ")
    _, units = table(text, "What fsdp2 gathers")
    total = 0
    for name, (parameters, *_) in units.items():
        first, last = re.findall(r"layers\.(\d+) to (\d+)", name)[0] if "each" in name else (0, 0)
        total += int(parameters.replace(",", "")) * (int(last) - int(first) + 1)
    assert total == PARAMETERS[size]


def test_shares_of_the_processes_are_told(root):
    text = plan(root, size="2.5b", processes=8)
    ways, memory = table(text, "Memory of each process")
    assert ways == [
        "ddp x 8",
        "fsdp2 x 8",
        "ddp x 8, checkpointing",
        "fsdp2 x 8, checkpointing",
    ]
    whole = PARAMETERS["2.5b"] * 4 / 1e9
    assert [float(cell) for cell in memory["parameters"]] == pytest.approx(
        [whole, whole / 8] * 2, abs=0.01
    )
    assert [float(cell) for cell in memory["optimiser"]] == pytest.approx(
        [2 * whole, 2 * whole / 8] * 2, abs=0.01
    )
    kept, again = float(memory["activations"][0]), float(memory["activations"][2])
    assert again < 0.2 * kept
    _, units = table(text, "What fsdp2 gathers")
    assert units["transformer.layers.0 to 47, each"] == ["50,356,288", "201.4", "25.18"]
    assert units["patch_proj and output_head"][0] == "37,179,968"


def test_one_process_has_no_ways_to_share_out(root):
    assert table(plan(root), "Memory of each process")[0] == [
        "one process",
        "one process, checkpointing",
    ]


def test_time_follows_from_operations_rate_and_use(root):
    """4m, 16 x 4 rows of 16 patches of which 15 are read: see the test of the operations."""
    change(root, "train", max_steps=3600)
    text = plan(root, size="4m", mfu=0.5, tflops=0.1)
    flops, step_s, hours = (
        float(re.search(pattern, text)[1])
        for pattern in (
            r"A step is (\S+) operations",
            r"it takes (\S+) s",
            r"3600 steps take (\S+) hours",
        )
    )
    assert 6 * 3.9e6 * 16 * 4 * 15 < flops < 6 * 4.2e6 * 16 * 4 * 15
    assert step_s == pytest.approx(flops / 0.5e11, rel=0.01)
    assert hours == pytest.approx(step_s, rel=0.01)


def test_micro_batches_that_cannot_be_shared_out_are_raised(root):
    change(root, "train", accumulation=6)
    text = plan(root, processes=4)
    assert "has 8 micro-batches (train.accumulation = 6 is to be raised) of 16 rows" in text


def test_optimisers_are_those_of_the_params(root):
    change(root, "train", optimizer="normuon")
    rows = [line for line in plan(root).splitlines() if "normuon" in line]
    assert [row.split(" | ")[0] for row in rows] == [
        f"| transformer.layers.*.{name}.weight"
        for name in ("attn.in_proj", "attn.out_proj", "ffn.fc1", "ffn.fc2")
    ]


@pytest.mark.parametrize(
    ("method", "learning", "rows"),
    [("lora", 24_960, 8), ("last_layers", 159_872, 13), ("full", 298_112, 19)],
)
def test_fine_tuning_moves_what_learns(root, method, learning, rows):
    change(root, "train", init="models/base", finetune=FINETUNE | {"method": method})
    text = plan(root)
    assert f" {learning:,} of them learn ({method}).\n" in text
    assert len(re.findall(r"^\| .* \| adamw \| ", text, flags=re.M)) == rows
    _, memory = table(text, "Memory of each process")
    assert float(memory["optimiser"][0]) == pytest.approx(8 * learning / 1e9, abs=0.005)


def test_number_format_is_that_of_the_params(root):
    change(root, "train", precision="float32")
    kept = table(plan(root, size="22m"), "Memory of each process")[1]["activations"][0]
    change(root, "train", precision="bfloat16")
    half = table(plan(root, size="22m"), "Memory of each process")[1]["activations"][0]
    assert float(half) < 0.7 * float(kept)


def test_unknown_size_names_the_known_ones(root):
    with pytest.raises(ConfigError, match=r"model.size = 'huge', one of nano, 1m, 4m, "):
        plan(root, size="huge")


def test_command_needs_nothing_but_the_params(root):
    done = command(root, "flows.cli", "plan", "--size=4m", "--processes=2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("4m: 4,144,448 parameters")
    assert "has 2 micro-batches" in done.stdout
    assert "TFLOP/s (measured on this CPU) in each of 2 processes" in done.stdout
    assert [path.name for path in root.iterdir()] == ["params.yaml"]
