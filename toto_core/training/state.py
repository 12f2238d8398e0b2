"""All that a training run needs to go on, as one object; what is not in it is not needed."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from toto_core.optim.build import build_optimisers
from toto_core.optim.ema import WeightAverage
from toto_core.training.checkpoint import CheckpointStore, Snapshot
from toto_core.training.distributed import shard, whole
from toto_core.training.settings import TrainSettings

_CURVE_POINTS = 300  # of the training loss; each is the mean over its stretch of steps


@dataclass(frozen=True, order=True)
class Kept:
    """Averaged weights kept on disk, best first by validation loss, then by step."""

    val_loss: float
    step: int
    sha256: str


@dataclass(frozen=True)
class CurvePoint:
    """One point of the loss curve; ``split`` is ``train`` or ``validation``."""

    step: int
    loss: float
    split: str


@dataclass
class TrainState:
    """A training run between two steps.

    Random draws are functions of the seed and the step, so there is no random state.

    Attributes:
        step: finished optimiser steps.
        points: observed points drawn so far.
        stale: validations since the last gain.
        kept: the best validated averages, best first.
        curve: the losses so far.
        recent: training losses since the last point of the curve.
        is_over: whether the run has come to its end.
    """

    model: nn.Module
    average: WeightAverage
    optimisers: tuple[Optimizer, ...]
    settings: TrainSettings
    step: int = 0
    points: int = 0
    stale: int = 0
    kept: list[Kept] = field(default_factory=list)
    curve: list[CurvePoint] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    is_over: bool = False

    @classmethod
    def start(cls, model: nn.Module, settings: TrainSettings) -> "TrainState":
        """Begin a run with the weights of ``model``, which is trained (and sharded) in place."""
        average = WeightAverage(model, decay=settings.ema_decay)
        shard(model, settings)
        shard(average.model, settings)
        return cls(model, average, build_optimisers(model, settings), settings)

    def finish_step(self, loss: float, *, points: int) -> None:
        """Count a step and note its loss."""
        self.step += 1
        self.points += points
        self.recent.append(loss)
        stretch = -(-self.settings.max_steps // _CURVE_POINTS)
        if self.step % stretch == 0 or self.step == self.settings.max_steps:
            self.end_stretch()

    def end(self) -> None:
        """Note that there is nothing left to do."""
        self.end_stretch()
        self.is_over = True

    def end_stretch(self) -> None:
        """Put the losses since the last point of the curve, if any, into a point."""
        if self.recent:
            mean = sum(self.recent) / len(self.recent)
            self.curve.append(CurvePoint(self.step, mean, "train"))
            self.recent.clear()

    def judge(self, val_loss: float, store: CheckpointStore) -> None:
        """Note a validation of the average, and keep its weights if they are among the best."""
        self.curve.append(CurvePoint(self.step, val_loss, "validation"))
        gained = not self.kept or val_loss < self.kept[0].val_loss
        self.stale = 0 if gained else self.stale + 1
        if len(self.kept) < self.settings.keep_best or val_loss < self.kept[-1].val_loss:
            digest = store.save_weights(self.step, whole(self.average.model.state_dict()))
            self.kept = sorted([*self.kept, Kept(val_loss, self.step, digest)])
            self.kept = self.kept[: self.settings.keep_best]

    def snapshot(self) -> Snapshot:
        """Take the state, as a checkpoint holds it; what does not learn is not part of it."""
        tensors = {}
        for part, module in self._parts():
            frozen = self._frozen(module)
            tensors |= {f"{part}{k}": v for k, v in module.state_dict().items() if k not in frozen}
        for optimiser, name, parameter in self._moved():
            for key, value in optimiser.state[parameter].items():
                tensors[f"optimiser.{key}.{name}"] = value
        values = {
            "points": self.points,
            "stale": self.stale,
            "kept": [asdict(kept) for kept in self.kept],
            "curve": [asdict(point) for point in self.curve],
            "recent": list(self.recent),
            "is_over": self.is_over,
        }
        return Snapshot(self.step, tensors, values, {k.step: k.sha256 for k in self.kept})

    def empty(self, name: str, size: torch.Size, dtype: torch.dtype) -> Tensor:
        """Make room for a tensor of a snapshot, sharded as this process needs it."""
        part, _, rest = name.partition(".")
        network = self.average.model if part == "average" else self.model
        owner, _, last = (rest.partition(".")[2] if part == "optimiser" else rest).rpartition(".")
        like = getattr(network.get_submodule(owner), last)
        # Optimisers shard what has the shape of its parameter; the rest is whole everywhere.
        is_like = like.shape == size
        return torch.empty_like(like, dtype=dtype) if is_like else torch.empty(size, dtype=dtype)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of a run with the same model and settings."""
        for part, module in self._parts():
            module.load_state_dict(self._frozen(module) | _under(part, snapshot.tensors))
        states: dict[str, dict[str, Tensor]] = {}
        for full, tensor in _under("optimiser.", snapshot.tensors).items():
            key, _, name = full.partition(".")
            states.setdefault(key, {})[name] = tensor
        for optimiser, name, parameter in self._moved():
            # One that never had a gradient has no state: a lone variate's query gain.
            for key, tensors in states.items():
                if name in tensors:
                    value = tensors[name].to(parameter.device, copy=True)
                    optimiser.state[parameter][key] = value
        values: Mapping[str, Any] = snapshot.values
        self.step = snapshot.step
        self.points = values["points"]
        self.stale = values["stale"]
        self.kept = [Kept(**kept) for kept in values["kept"]]
        self.curve = [CurvePoint(**point) for point in values["curve"]]
        self.recent = list(values["recent"])
        self.is_over = values["is_over"]

    def _parts(self) -> Iterator[tuple[str, nn.Module]]:
        yield "model.", self.model
        yield "average.", self.average.model

    def _frozen(self, module: nn.Module) -> dict[str, Tensor]:
        """The parameters of the model or its average that do not learn; training was given them."""
        names = {name for name, p in self.model.named_parameters() if not p.requires_grad}
        return {k: v for k, v in module.state_dict().items() if k in names}

    def _moved(self) -> Iterator[tuple[Optimizer, str, nn.Parameter]]:
        """Each parameter that an optimiser moves, with that optimiser and its name."""
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                for parameter in group["params"]:
                    yield optimiser, names[parameter], parameter


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
