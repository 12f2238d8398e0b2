"""The device and the number format are chosen from what the machine has."""

import pytest
import torch

from toto_core.training.device import choose_device, choose_dtype, deterministic

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_given_precision_is_taken(precision, dtype):
    assert choose_dtype(precision, CPU) is dtype


def test_auto_is_bfloat16_where_the_processor_has_it():
    capabilities = torch.cpu.get_capabilities()
    has = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert choose_dtype("auto", CPU) is (torch.bfloat16 if has else torch.float32)


def test_device_is_cuda_where_there_is_one():
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_deterministic_kernels_are_asked_for_and_given_back():
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic():
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
