"""Who may import what (docs say why); read from the syntax, so nothing is imported here."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORCHESTRATION = {"flows", "prefect", "dvc", "wandb", "gto", "huggingface_hub", "httpx2"}
NETWORK_PARTS = ("model", "optim", "training")
NETWORK_MAY = {"numpy", "torch", "safetensors", "jaxtyping"}
NETWORK_MAY_OF_OURS = (
    "toto_core.errors",
    "toto_core.files",
    *(f"toto_core.{part}" for part in NETWORK_PARTS),
)
STAGES = (
    *("ingest", "validate", "split", "protocol", "augment"),
    *("train", "crossval", "calibrate", "evaluate", "register"),
)
OWNERS = {
    "prefect": {"flows/observed.py", "flows/pipeline.py"},
    "wandb": {"flows/tracking.py"},
    "dvc": {"flows/graph.py", "flows/champion.py"},
    "huggingface_hub": {"flows/base_model.py"},
    "httpx2": {"flows/base_model.py"},
}


def imports(path: Path, text: str) -> Iterator[str]:
    """Yield the full names of the modules that a file imports, also inside functions."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def faults(path: Path, text: str) -> list[str]:
    """Return each import of ``path`` that its layer must not have."""
    where = path.relative_to(ROOT)
    found = []
    for name in imports(path, text):
        top = name.partition(".")[0]
        if where.parts[0] == "toto_core":
            if top in ORCHESTRATION:
                found.append(name)
            part = where.parts[1]
            if part in NETWORK_PARTS and not _network_may(name):
                found.append(name)
            if part == "evaluation" and (top == "torch" or name.startswith("toto_core.model")):
                found.append(name)
            if part in ("data", "registry", "report") and top == "torch":
                found.append(name)
        else:
            if where.stem in STAGES and any(
                name.startswith(f"flows.{other}") for other in STAGES if other != where.stem
            ):
                found.append(name)
            if top in OWNERS and where.as_posix() not in OWNERS[top]:
                found.append(name)
    return found


def _network_may(name: str) -> bool:
    top = name.partition(".")[0]
    if top == "toto_core":
        return any(name == may or name.startswith(f"{may}.") for may in NETWORK_MAY_OF_OURS)
    return top in NETWORK_MAY or top in sys.stdlib_module_names


def sources() -> list[Path]:
    return sorted([*ROOT.glob("toto_core/**/*.py"), *ROOT.glob("flows/**/*.py")])


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_layer_imports_only_what_it_may(path: Path) -> None:
    assert faults(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("toto_core/data/x.py", "import prefect", ["prefect"]),
        ("toto_core/data/x.py", "def f():\n    import torch", ["torch"]),
        ("toto_core/model/x.py", "import polars", ["polars"]),
        ("toto_core/optim/x.py", "from toto_core.data import corpus", ["toto_core.data.corpus"]),
        ("toto_core/training/x.py", "from toto_core.config import Params", None),
        ("toto_core/training/x.py", "from ..data.tables import Item", None),
        ("toto_core/evaluation/x.py", "from toto_core.model import Toto2", None),
        ("toto_core/evaluation/x.py", "import torch.nn", ["torch.nn"]),
        ("flows/train.py", "from flows.ingest import run", ["flows.ingest.run"]),
        ("flows/train.py", "import wandb", ["wandb"]),
        ("flows/train.py", "import huggingface_hub", ["huggingface_hub"]),
        ("toto_core/data/x.py", "import huggingface_hub", ["huggingface_hub"]),
    ],
)
def test_layer_rules_find_what_is_planted(path: str, text: str, expected: list[str] | None) -> None:
    found = faults(ROOT / path, text)
    assert found == expected if expected else found


def test_layer_rules_allow_what_a_layer_needs() -> None:
    text = "import math\nimport torch\nfrom toto_core.errors import TotoError\nfrom . import umup"
    assert faults(ROOT / "toto_core/model/x.py", text) == []
