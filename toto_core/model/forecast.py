"""Forecasting: a horizon of hidden patches behind the context, decoded at once or in blocks.

The protocol is the one of the released package (DataDog/toto at 46bd92a).

Shapes: B batch, V variates, E known covariates, T time steps, H prediction length, P patches,
Q quantile levels.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from toto_core.model.attention import Stand
from toto_core.model.sizes import PATCH_SIZE


class KnownFuture(NamedTuple):
    """Covariates over context and horizon; what they lack at the end counts as missing."""

    values: Float[Tensor, "B E TH"]
    mask: Bool[Tensor, "B E TH"]
    series_ids: Int[Tensor, "B E"]


@dataclass(frozen=True)
class Request:
    """What is wanted: see ``Toto2.forecast``; ``median`` is its place among the levels."""

    prediction_length: int
    median: int
    decode_block_size: int | None = None
    min_observed: int = 0
    max_deviation: float | None = None

    @property
    def num_patches(self) -> int:
        """Patches of the horizon."""
        return -(-self.prediction_length // PATCH_SIZE)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First patch of the horizon and number of patches of each block."""
        size = (self.decode_block_size or self.num_patches * PATCH_SIZE) // PATCH_SIZE
        for first in range(0, self.num_patches, size):
            yield first, min(size, self.num_patches - first)

    def faults(self, context_length: int) -> list[str]:
        """One line for each value that is not allowed."""
        faults = []
        if context_length < PATCH_SIZE or context_length % PATCH_SIZE:
            faults.append(
                f"target: T = {context_length}, a multiple of {PATCH_SIZE} from {PATCH_SIZE} is "
                "allowed; pad on the left with unobserved steps"
            )
        if self.prediction_length < 1:
            faults.append(
                f"forecast: prediction_length = {self.prediction_length}, at least 1 is allowed; "
                "raise it"
            )
        block = self.decode_block_size
        if block is not None and (block < PATCH_SIZE or block % PATCH_SIZE):
            faults.append(
                f"forecast: decode_block_size = {block}, a multiple of {PATCH_SIZE} from "
                f"{PATCH_SIZE} is allowed; round it"
            )
        return faults


# ``Toto2.predict_quantiles``
Predict = Callable[..., tuple[Tensor, Tensor, Tensor]]


@torch.no_grad()
def forecast(
    predict_patches: Predict,
    target: Float[Tensor, "B V T"],
    target_mask: Bool[Tensor, "B V T"],
    series_ids: Int[Tensor, "B V"],
    request: Request,
    *,
    known: KnownFuture | None,
) -> Float[Tensor, "Q B V H"]:
    """The quantiles that ``Toto2.forecast`` describes; each block encodes all patches anew."""
    num_variates, length = target.shape[1:]
    faults = request.faults(length)
    if faults:
        raise ValueError("\n".join(faults))
    canvas = _canvas(target, target_mask, series_ids, request, known)
    forecasts, limits, size = [], None, 0
    for first, count in request.blocks():
        start = length // PATCH_SIZE + first
        quantiles, loc, scale = predict_patches(
            *canvas.block(fresh=max(start - size, 0) if first else 0, end=start + count),
            min_observed=request.min_observed,
            read_from=start - 1,
        )
        if limits is None:
            limits = _limits(canvas, scale[..., start - 1], length, request.max_deviation)
        read = slice(start - 1, start - 1 + count)
        real = quantiles.double().sinh() * scale[..., read, None]
        real = (real + loc[..., read, None]).clamp(*limits).float().sort(dim=0).values
        real = real[:, :, :num_variates].flatten(-2)
        forecasts.append(real)
        steps = slice(start * PATCH_SIZE, (start + count) * PATCH_SIZE)
        canvas.values[:, :num_variates, steps] = real[request.median]
        canvas.visible[:, :num_variates, steps] = True
        size = count
    return torch.cat(forecasts, -1)[..., : request.prediction_length]


@dataclass(frozen=True)
class _Canvas:
    """Context and horizon of targets and known covariates; the horizon fills up as it is decoded.

    The later blocks stand as those of the released package do with its cache of keys: their xPos
    decay counts from their own middle while older keys keep the middle of their time, and over
    variates they have the groups of the first patches of the context. The latter is visible only
    where one of these was wholly unobserved.
    """

    values: Float[Tensor, "B V TH"]
    visible: Bool[Tensor, "B V TH"]
    groups: Int[Tensor, "B V P"]
    columns: Int[Tensor, "B V P"]
    centre: Float[Tensor, " P"]

    def block(self, *, fresh: int, end: int) -> tuple[Tensor, Tensor, Stand]:
        """Values, visibility and stand of the patches before the one that ends at ``end``.

        The last patch of the block is only predicted; nothing looks at it. The patches from
        ``fresh`` on have not been encoded before.
        """
        self.centre[fresh:end] = end // 2
        if fresh:
            self.columns[..., fresh:end] = self.groups[..., : end - fresh]
        read = slice(0, end - 1)
        stand = Stand(self.groups[..., read], self.columns[..., read], self.centre[read])
        steps = (end - 1) * PATCH_SIZE
        return self.values[..., :steps], self.visible[..., :steps], stand


def _canvas(
    target: Tensor,
    target_mask: Tensor,
    series_ids: Tensor,
    request: Request,
    known: KnownFuture | None,
) -> _Canvas:
    length, horizon = target.shape[-1], request.num_patches * PATCH_SIZE
    values, visible = F.pad(target, (0, horizon)), F.pad(target_mask, (0, horizon))
    # Training never leaves the end of the context systematically unobserved.
    visible[..., length - PATCH_SIZE : length] = True
    ids = series_ids
    if known is not None:
        missing = max(length + horizon - known.values.shape[-1], 0)
        pad, upto = (0, missing), length + horizon
        values = torch.cat([values, F.pad(known.values, pad)[..., :upto]], 1)
        visible = torch.cat([visible, F.pad(known.mask, pad)[..., :upto]], 1)
        ids = torch.cat([ids, known.series_ids], 1)
    values = torch.where(visible, values, 0.0)
    observed = visible.unflatten(-1, (-1, PATCH_SIZE)).any(-1)
    observed[..., length // PATCH_SIZE :] = True  # the horizon is hidden, not missing
    groups = torch.where(observed, ids[..., None], -1)
    centre = torch.zeros(groups.shape[-1], device=target.device)
    return _Canvas(values, visible, groups, groups.clone(), centre)


def _limits(
    canvas: _Canvas, scale: Tensor, length: int, max_deviation: float | None
) -> tuple[Tensor, Tensor]:
    """Lowest and highest value that a quantile of each variate may take, [B, V, 1, 1]."""
    extreme = torch.finfo(torch.float32).max
    whole = torch.full_like(scale, extreme)[..., None, None]
    if max_deviation is None:
        return -whole, whole
    context, seen = canvas.values[..., :length].double(), canvas.visible[..., :length]
    lowest = context.masked_fill(~seen, math.inf).amin(-1)
    highest = context.masked_fill(~seen, -math.inf).amax(-1)
    reach = max_deviation * scale
    return (
        torch.where(seen.any(-1), lowest - reach, -reach)[..., None, None].clamp(-whole, whole),
        torch.where(seen.any(-1), highest + reach, reach)[..., None, None].clamp(-whole, whole),
    )
