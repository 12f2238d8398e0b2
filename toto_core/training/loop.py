"""The training loop: read it from top to bottom.

Everything random is a function of the seed and the step, and everything else is in ``TrainState``,
so a run that was killed and resumed ends in the same bytes as one that was not.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

import torch
from torch import Tensor, nn

from toto_core.optim.groups import set_lr
from toto_core.optim.schedule import learning_rate_factor
from toto_core.training.batches import Windows, drawn
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.compiled import compiled
from toto_core.training.device import deterministic, keep_memory
from toto_core.training.distributed import (
    largest,
    rank,
    replicated,
    summed,
    whole,
    world_size,
)
from toto_core.training.settings import TrainSettings
from toto_core.training.signals import deferred_signals, stopped_by
from toto_core.training.state import TrainState
from toto_core.training.step import (
    Batch,
    MicroBatch,
    accumulate_gradients,
    clip_gradients,
    fitting_in_memory,
    gradient_norm,
    mean_loss,
    refuse_non_finite,
    validation_micro_batch,
)

Log = Callable[[Mapping[str, float | str]], None]


def train(
    model: nn.Module,
    windows: Windows,
    validation: Sequence[Batch],
    settings: TrainSettings,
    *,
    seed: int,
    store: CheckpointStore,
    device: torch.device,
    log: Log,
) -> TrainState:
    """Train ``model`` in place, from the newest checkpoint of ``store`` if it holds one.

    Stops after ``settings.max_steps``, or once ``settings.patience`` validations in a row brought
    no gain. Without validation batches there is no early stop and nothing is kept.

    Args:
        model: on ``device``; has ``config.patch_size`` and ``set_global_tokens``.
        log: called once a step with its number, loss, rate, gradient norm and points (and
            ``val_loss`` where it was validated), and with ``message`` where there is something
            to say.

    Raises:
        TrainingError: if a loss or gradient is not finite or a batch does not fit in memory.
        CheckpointError: if the store cannot be written, or another process trains there.
        StoppedError: on SIGINT or SIGTERM, once the state has been saved.
    """
    store.claim()
    keep_memory()
    state = resume(TrainState.start(model, settings), store, log)
    network = replicated(compiled(model, settings, device), settings)
    parameters = list(model.parameters())
    checks = validation_set(model, validation, device)
    feed = drawn(
        windows,
        settings,
        patch_size=patch_size(model),
        seed=seed,
        first_step=state.step,
        device=device,
    )
    with (
        deterministic(),
        deferred_signals() as pending,
        fitting_in_memory(settings, device),
        closing(feed),
    ):
        if checks and settings.init is not None and not state.kept:
            # What was given is the first candidate: only what does better replaces it.
            state.judge(mean_loss(state.average.model, checks, settings), store)
        for step in range(state.step, settings.max_steps):
            if state.is_over or (checks and state.stale >= settings.patience):
                break
            micro_batches = next(feed)
            tell_tokens(model, micro_batches)
            loss = accumulate_gradients(network, micro_batches, settings)
            norm = gradient_norm(parameters)
            refuse_non_finite(model, micro_batches, settings, step=step, loss=loss, norm=norm)
            clip_gradients(parameters, norm=norm, max_norm=settings.max_grad_norm)
            lr_factor = learning_rate_factor(step, settings)
            for optimiser in state.optimisers:
                set_lr(optimiser, lr_factor)
                optimiser.step()
                optimiser.zero_grad(set_to_none=not settings.cuda_graphs)
            state.average.update(step)
            points = int(summed(sum(int(m.target_mask.sum()) for m in micro_batches)))
            state.finish_step(loss, points=points)
            record = {"step": state.step, "loss": loss, "lr": settings.lr * lr_factor}
            if checks and is_validated(state.step, settings):
                record["val_loss"] = mean_loss(state.average.model, checks, settings)
                state.judge(record["val_loss"], store)
            log(record | {"grad_norm": norm, "points": points})
            signal_number, is_due = largest(pending.number, store.due())
            if signal_number or is_due:
                store.save(state.snapshot())
            if signal_number:
                raise stopped_by(signal_number)(
                    f"train: stopped after step {state.step} of {settings.max_steps}, the state "
                    "is saved; run dvc repro to go on"
                )
    state.end()
    if world_size() > 1:
        store.save(state.snapshot())  # for the single process that writes the outputs
    return state


def resume(state: TrainState, store: CheckpointStore, log: Log) -> TrainState:
    """Bring ``state`` to the newest sound checkpoint of ``store``, and say what was found."""
    snapshot, faults = store.load(state.empty)
    for fault in faults:
        log({"message": fault})
    if snapshot is not None:
        state.restore(snapshot)
        log({"message": f"train: goes on from step {state.step}"})
    elif faults:
        log({"message": "train: no sound checkpoint is left, it starts afresh"})
    return state


def tell_tokens(model: nn.Module, micro_batches: Sequence[MicroBatch]) -> None:
    """Tell ``model`` how many patches it reads in a step of as many micro-batches in each process.

    The last patch of a row is a target only.
    """
    num_read = world_size() * sum(m.weight[..., 0].numel() for m in micro_batches)
    model.set_global_tokens(num_read)  # pyright: ignore


def validation_set(
    model: nn.Module, validation: Sequence[Batch], device: torch.device
) -> list[MicroBatch]:
    """Put this process' validation batches on ``device``, their horizons hidden.

    Sharded processes compute in step, so each has as many; what is missing has no weight.
    """
    batches = [
        validation_micro_batch(batch, patch_size=patch_size(model), device=device)
        for batch in validation
    ]
    spare = [batch.unweighted() for batch in batches[:1]] * (-len(batches) % world_size())
    return [*batches, *spare][rank() :: world_size()]


def is_validated(step: int, settings: TrainSettings) -> bool:
    """Whether the average is validated after ``step`` steps: regularly, and at the end."""
    return step % settings.validate_every == 0 or step == settings.max_steps


def final_weights(state: TrainState, store: CheckpointStore) -> dict[str, Tensor]:
    """Give the best validated average, or the last one where nothing was validated."""
    if state.kept:
        return store.load_weights(state.kept[0].step)
    return whole(state.average.model.state_dict())


def patch_size(model: nn.Module) -> int:
    """Length of a patch, steps."""
    return model.config.patch_size  # pyright: ignore
