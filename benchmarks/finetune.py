"""Fine-tuning against training from scratch: the validation loss after equal small budgets.

A base is trained on synthetic series alone. Then a project's own series are learned by each
method, from the base or from scratch, with that many steps and no more.

python benchmarks/finetune.py base --steps 2500 models/synthetic-base
python benchmarks/finetune.py compare --base models/synthetic-base --steps 100 300
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from flows import augment, ingest, split, train, validate
from flows.fitting import Fit, fit
from toto_core.config import Params, load_params

# What each method changes in the section train.
METHODS: dict[str, dict[str, Any]] = {
    "from scratch": {"init": None},
    "full": {"finetune": {"method": "full"}},
    "last_layers 1": {"finetune": {"method": "last_layers", "num_layers": 1}},
    "lora 8": {"finetune": {"method": "lora", "rank": 8, "alpha": 8.0}},
}


def main() -> None:
    """Train the base, or print the table."""
    arguments = parse()
    params = load_params(arguments.params)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if arguments.what == "base":
            make_base(params, root, arguments)
        else:
            compare(params, root, arguments)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--raw", type=Path, help="folder that ingest.paths is to find")
    commands = parser.add_subparsers(dest="what", required=True)
    base = commands.add_parser("base")
    base.add_argument("directory", type=Path)
    base.add_argument("--steps", type=int, default=2500)
    base.add_argument("--series", type=int, default=2000)
    table = commands.add_parser("compare")
    table.add_argument("--base", type=Path, required=True)
    table.add_argument("--steps", type=int, nargs="+", default=[100, 300])
    table.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    table.add_argument("--rates", type=float, nargs="+", default=[0.01])
    return parser.parse_args()


def make_base(params: Params, root: Path, arguments: argparse.Namespace) -> None:
    """Train on synthetic series alone, without validation, and save the last average."""
    changed = changed_params(
        params,
        augment={
            "synthetic_share": 1.0,
            "num_synthetic": arguments.series,
            "synthetic_length": 2048,
        },
        train={"max_steps": arguments.steps},
    )
    prepare(changed, root, arguments.raw)
    job = dataclasses.replace(train.job(changed, root), validated=False)
    fitted = fit(job, track=lambda values, step: None)
    fitted.model.save_pretrained(arguments.directory)
    print(f"{fitted.state.step} steps, {fitted.state.points / 1e6:.0f}M points")


def compare(params: Params, root: Path, arguments: argparse.Namespace) -> None:
    """Print one row for each method and rate: the validation loss after each budget."""
    prepare(params, root, arguments.raw)
    columns = [f"{steps} steps" for steps in arguments.steps]
    print(f"| method | rate | learning | before | {' | '.join(columns)} | s |")
    print("|---" * (len(columns) + 5) + "|")
    for method in arguments.methods:
        rates = [params.train.lr] if method == "from scratch" else arguments.rates
        for rate in rates:
            start = time.monotonic()
            cells = [budget(params, root, arguments, method, rate, n) for n in arguments.steps]
            first = cells[0].state.curve[0]
            before = f"{first.loss:.4f}" if first.step == 0 else ""
            losses = " | ".join(f"{f.state.curve[-1].loss:.4f}" for f in cells)
            print(
                f"| {method} | {rate:g} | {cells[0].num_learning:,} | {before} | {losses} | "
                f"{time.monotonic() - start:.0f} |",
                flush=True,
            )


def budget(
    params: Params, root: Path, arguments: argparse.Namespace, method: str, rate: float, steps: int
) -> Fit:
    """Train with ``steps`` steps in all, validated before and after."""
    wanted = METHODS[method]
    finetune = params.train.finetune.model_dump() | wanted.get("finetune", {})
    changes = {
        "init": str(arguments.base.absolute()),
        "lr": rate,
        "max_steps": steps,
        "validate_every": steps,
    } | wanted
    changed = changed_params(params, train=changes | {"finetune": finetune})
    fitted = fit(train.job(changed, root), track=lambda values, step: None)
    fitted.store.remove()
    return fitted


def prepare(params: Params, root: Path, raw: Path | None) -> None:
    """Make the corpus of ``params`` below ``root``."""
    (root / "data").mkdir()
    if raw is not None:
        (root / "data/raw").mkdir()
        target = root / params.ingest.paths[0]
        target.symlink_to(raw.absolute())
    for stage in (ingest, validate, split, augment):
        stage.run(params, root)


def changed_params(params: Params, **changes: dict[str, Any]) -> Params:
    """``params`` with some values of some sections changed."""
    values = params.model_dump(mode="json", by_alias=True)
    for section, wanted in changes.items():
        values[section] |= wanted
    return Params.model_validate(values)


if __name__ == "__main__":
    main()
