"""Fine-tuning on several processes is what it is on one."""

import pytest
import test_distributed as several

pytestmark = pytest.mark.slow

FINETUNE = {"num_layers": 1, "rank": 4, "alpha": 4.0}


def job(folder, method, parallel, **more):
    made = several.job(folder, parallel, "normuon", **more)
    made["changes"] |= {"init": "base", "finetune": FINETUNE | {"method": method}}
    made["changes"] |= {"max_steps": 8, "validate_every": 4}
    return made


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder for each run, of one and of two processes; read only."""
    root = tmp_path_factory.mktemp("runs")
    two = [
        job(root / f"2-{m}-{p}", m, p) for m in ("lora", "last_layers") for p in ("ddp", "fsdp2")
    ]
    two.append(job(root / "stopped", "lora", "fsdp2", term=[1, 4]))
    two.append(job(root / "resumed", "lora", "fsdp2", **{"from": str(root / "stopped")}))
    code, err = several.ranks(2, two)
    assert code == 0, err
    for method in ("lora", "last_layers"):
        several.solo(job(root / f"1-{method}", method, "ddp"))
    return root


@pytest.mark.parametrize("method", ["lora", "last_layers"])
@pytest.mark.parametrize("parallel", ["ddp", "fsdp2"])
def test_curve_of_fine_tuning_is_that_of_one_process(runs, method, parallel):
    found = several.losses(runs / f"2-{method}-{parallel}")
    expected = several.losses(runs / f"1-{method}")
    assert len(expected) == 8 + 8 + 2
    assert found == pytest.approx(expected, rel=several.CLOSE, abs=0)


def test_stopped_fine_tuning_goes_on_to_the_same_bytes(runs):
    several.assert_same_bytes(runs / "resumed", runs / "2-lora-fsdp2")
