"""Compiled training gives the numbers of the eager one, and what cannot be had is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_model import TinyModel, make_settings

from toto_core.errors import ConfigError, TrainingError
from toto_core.model.compiler import missing_compiler
from toto_core.training.compiled import compiled

CPU = torch.device("cpu")
SCRIPT = Path(__file__).with_name("run_compiled.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What ``run_compiled.py`` prints, by name; its compiler starts from nothing."""
    if missing_compiler():
        pytest.skip("no C++ compiler: train.compile is refused here")
    folder = tmp_path_factory.mktemp("inductor")
    result = subprocess.run(
        [sys.executable, SCRIPT, "golden", "1-bfloat16", "3-bfloat16", "steps"],
        env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return {line["name"]: line for line in lines}


@pytest.mark.slow
def test_compiled_forward_and_gradients_equal_the_reference(found):
    assert found["golden"]["forward"] < 1e-5
    assert found["golden"]["gradient"] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1-bfloat16", "3-bfloat16"])
def test_compiled_gradients_equal_the_eager_ones(found, name):
    """In bfloat16 both round, the compiled one less often."""
    assert found[name]["loss"] < 1e-4
    assert found[name]["gradient"] < 0.06
    assert found[name]["same_missing"]


@pytest.mark.slow
def test_twenty_compiled_steps_equal_the_eager_ones(found):
    assert found["steps"]["num_steps"] == 20
    assert found["steps"]["learned"] < 0.95
    assert found["steps"]["loss"] < 5e-3
    assert found["steps"]["weights"] < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", ["golden", "1-bfloat16", "3-bfloat16", "steps"])
def test_all_batches_run_through_one_unbroken_graph(found, name):
    assert (found[name]["graphs"], found[name]["breaks"]) == (1, 0)


def test_without_compiling_the_network_is_the_one_given():
    model = TinyModel()
    assert compiled(model, make_settings(), CPU) is model


@pytest.mark.parametrize(
    ("wanted", "graphs", "mode"),
    [
        ("default", False, "default"),
        ("default", True, "reduce-overhead"),
        ("max-autotune", False, "max-autotune-no-cudagraphs"),
        ("max-autotune", True, "max-autotune"),
    ],
)
def test_settings_choose_the_mode_of_the_compiler(wanted, graphs, mode, monkeypatch):
    monkeypatch.setenv("CXX", sys.executable)  # any program: nothing is compiled
    chosen = {}

    def noted(network, **options):
        chosen.update(options)
        return network

    monkeypatch.setattr(torch, "compile", noted)
    model = TinyModel()
    compiled(model, make_settings(compile=wanted, cuda_graphs=graphs), torch.device("cuda"))
    assert chosen == {"mode": mode, "dynamic": False}
    assert (model.weight.grad is not None) == graphs


@pytest.mark.parametrize(
    ("settings", "device", "message"),
    [
        (
            make_settings(cuda_graphs=True),
            "cuda",
            "train: cuda_graphs = true with compile = none, default or max-autotune is needed; "
            "set train.compile, or train.cuda_graphs to false",
        ),
        (
            make_settings(cuda_graphs=True, compile="default"),
            "cpu",
            "train: cuda_graphs = true on the device cpu, cuda is needed; set train.cuda_graphs "
            "to false",
        ),
    ],
    ids=["not-compiled", "cpu"],
)
def test_cuda_graphs_need_the_compiler_and_a_gpu(settings, device, message):
    with pytest.raises(ConfigError) as error:
        compiled(TinyModel(), settings, torch.device(device))
    assert str(error.value) == message


def test_missing_compiler_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "c++-of-nowhere")
    with pytest.raises(TrainingError) as error:
        compiled(TinyModel(), make_settings(compile="default"), CPU)
    assert str(error.value) == (
        "train: C++ compiler = c++-of-nowhere, which is not found, one is needed to compile; "
        "install g++, name another one in CXX, or set train.compile to none"
    )
