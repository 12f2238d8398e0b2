"""Model directories: round trip, shards, and one line for each thing that is wrong."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from toto_core.errors import CheckpointError
from toto_core.model import SIZES, Toto2
from toto_core.model.weights import model_files


@pytest.fixture
def copy(golden_dir, tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(golden_dir, directory)
    return directory


def change_tensors(directory, change):
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors")


def change_config(directory, **values):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def lines_of(directory):
    with pytest.raises(CheckpointError) as caught:
        Toto2.from_pretrained(directory)
    return str(caught.value).splitlines()


def test_saved_directory_holds_the_released_tensors_and_keys(golden_model, golden_dir, tmp_path):
    golden_model.save_pretrained(tmp_path)
    released, saved = (load_file(d / "model.safetensors") for d in (golden_dir, tmp_path))
    assert released.keys() == saved.keys()
    for name, tensor in released.items():
        torch.testing.assert_close(saved[name], tensor, rtol=1e-6, atol=0)
        assert saved[name].shape == tensor.shape
        assert saved[name].dtype == tensor.dtype
    configs = [json.loads((d / "config.json").read_text()) for d in (golden_dir, tmp_path)]
    assert configs[0] == configs[1]


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        Toto2(SIZES["nano"], seed=3).save_pretrained(tmp_path / name)
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_round_trip_keeps_every_bit(tmp_path):
    model = Toto2(SIZES["nano"], seed=3)
    model.save_pretrained(tmp_path)
    loaded = Toto2.from_pretrained(tmp_path)
    assert loaded.config == model.config
    for (name, one), other in zip(
        model.state_dict().items(), loaded.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name


def test_sharded_directory_loads(copy, golden_model):
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {"a.safetensors": names[:20], "b.safetensors": names[20:]}
    for file, part in files.items():
        save_file({name: tensors[name] for name in part}, copy / file)
    weight_map = {name: file for file, part in files.items() for name in part}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    loaded = Toto2.from_pretrained(copy)
    for name, tensor in golden_model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    (copy / "b.safetensors").unlink()
    assert lines_of(copy) == [
        f"{copy / 'b.safetensors'}: not found, it is needed; copy the whole model"
    ]


def test_missing_directory(tmp_path):
    (line,) = lines_of(tmp_path / "nowhere")
    assert line.startswith(f"{tmp_path / 'nowhere'}: not found, a directory with config.json and")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_missing_file(copy, file):
    (copy / file).unlink()
    assert lines_of(copy) == [f"{copy / file}: not found, it is needed; copy the whole model"]


def test_torn_weights(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    (line,) = lines_of(copy)
    assert line.startswith(f"{path}: ")
    assert line.endswith("a whole safetensors file is needed; copy the model again")


def test_config_that_is_no_json(copy):
    (copy / "config.json").write_text("{")
    (line,) = lines_of(copy)
    assert "JSON is needed; copy the model again" in line
    (copy / "config.json").write_text("[]")
    assert lines_of(copy) == [
        f"{copy / 'config.json'}: list, a JSON object is needed; copy the model again"
    ]


def test_index_without_a_map(copy):
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors.index.json").write_text("{}")
    (line,) = lines_of(copy)
    assert line.endswith("weight_map = None, a JSON object is needed; copy the model again")


def test_all_faults_of_a_config_come_together(copy):
    change_config(copy, dropout_p=0.1, qk_norm=True)
    assert lines_of(copy) == [
        f"{copy / 'config.json'}: dropout_p = 0.1, only 0.0 is supported; use a released value",
        f"{copy / 'config.json'}: qk_norm = True, only False is supported; use a released value",
    ]


def test_all_faults_of_the_tensors_come_together(copy):
    def change(tensors):
        del tensors["patch_proj.linear1.bias"]
        tensors["extra"] = torch.zeros(1)
        tensors["patch_proj.linear2.bias"] = torch.zeros(31)
        tensors["patch_proj.skip_proj.bias"][3:5] = torch.nan
        tensors["transformer.layers.1.mlp_tau"] = torch.tensor(0.5)

    change_tensors(copy, change)
    assert lines_of(copy) == [
        f"{copy}: patch_proj.linear1.bias is missing, config.json implies it; copy the whole model",
        f"{copy}: extra is unknown, config.json implies no such tensor; load another model",
        f"{copy}: patch_proj.linear2.bias = (31,), (32,) is implied by config.json; load another "
        "model",
        f"{copy}: patch_proj.skip_proj.bias = 2 of 32 values not finite, none is allowed; go back "
        "to an earlier checkpoint",
        f"{copy}: transformer.layers.1.mlp_tau = 0.5, 0.0813479 is implied by config.json; mend "
        "residual_mult or residual_attn_ratio",
    ]


def test_config_of_another_context_does_not_fit_the_taus(copy):
    change_config(copy, residual_attn_ratio=3.0)
    assert len(lines_of(copy)) == 8


def test_config_of_another_version_is_one_line(copy):
    first = {"patch_size": 64, "embed_dim": 768, "num_layers": 12, "num_heads": 12, "stride": 64}
    (copy / "config.json").write_text(json.dumps(first))
    assert lines_of(copy) == [
        f"{copy / 'config.json'}: d_model and layer_group_size are missing, the format of Toto 2.0 "
        "is needed; load a model of that version"
    ]


def test_all_missing_shards_come_together(copy):
    (copy / "model.safetensors").unlink()
    weight_map = {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert lines_of(copy) == [
        f"{copy / name}: not found, it is needed; copy the whole model"
        for name in ("a.safetensors", "b.safetensors")
    ]


def test_files_of_a_model_are_its_configuration_and_weights(copy):
    (copy / "run.json").write_text("{}")
    assert model_files(copy) == [copy / "config.json", copy / "model.safetensors"]
