"""A process by itself takes part in nothing and pays for nothing."""

import torch
import torch.distributed as dist
from tiny_model import TinyModel, make_settings

from toto_core.training import distributed


def test_single_process_has_no_group_and_no_wrapper():
    settings = make_settings(parallel="ddp", accumulation=3)
    model = TinyModel()
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.replicated(model, settings) is model
    assert distributed.shard(model, make_settings(parallel="fsdp2")) is model
    assert type(model) is TinyModel
    assert list(distributed.micro_batch_indices(2, settings)) == [6, 7, 8]
    assert distributed.summed(1.5) == 1.5
    assert distributed.largest(0, True) == (0, True)
    assert distributed.told("a") == "a"
    assert distributed.gathered(["a", "b"]) == ["a", "b"]
    weight = torch.ones(2)
    assert distributed.whole({"w": weight})["w"] is weight
    assert not dist.is_initialized()


def test_loss_of_a_peer_is_told_from_other_errors():
    assert distributed.is_lost_peer(dist.DistNetworkError("no answer"))
    assert distributed.is_lost_peer(RuntimeError("[../gloo/transport/tcp/pair.cc:1] closed"))
    assert not distributed.is_lost_peer(RuntimeError("shapes do not match"))
