"""Forecasting: a horizon of hidden patches behind the context, decoded at once or in blocks.

The protocol is the one of the released package (DataDog/toto at 46bd92a).

Shapes: B batch, V variates (after the targets the known covariates, E), T time steps, H prediction
length, P patches of which A are encoded anew, S are read, L patch size, Q quantile levels.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from toto_core.model.encode import Seen, encode
from toto_core.model.heads import mixture_of
from toto_core.model.prepared import Weights
from toto_core.model.rotary import Rotation, rotation
from toto_core.model.scaler import causal_stats, standardise
from toto_core.model.sizes import PATCH_SIZE, ModelConfig

# Rows are forecast in parts of about this many patches, so that the activations of a part stay in
# the cache of the processor.
_CPU_PATCHES = 2400
_MOST_PROGRAMS = 64  # of one process; what comes after them is forecast without


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

    def spans(self, num_context: int) -> Iterator[tuple[int, int, int]]:
        """Of each block: the first patch to encode, the first to predict, and how many of these.

        A later block encodes the one before again, now that its values are known.
        """
        size = (self.decode_block_size or self.num_patches * PATCH_SIZE) // PATCH_SIZE
        for first in range(0, self.num_patches, size):
            fresh = num_context + first - size if first else 0
            yield fresh, num_context + first, min(size, self.num_patches - first)

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


class Inputs(NamedTuple):
    """What is forecast: see ``Toto2.forecast``."""

    target: Float[Tensor, "B V T"]
    target_mask: Bool[Tensor, "B V T"]
    series_ids: Int[Tensor, "B V"]
    known: KnownFuture | None

    def parts(self, request: Request) -> Iterator["Inputs"]:
        """Rows that are decoded together, in parts of about one size."""
        num_rows, num_variates, length = self.target.shape
        num_parts = 1
        if self.target.device.type == "cpu":
            num_variates += 0 if self.known is None else self.known.values.shape[1]
            num_patches = num_variates * (length // PATCH_SIZE + request.num_patches)
            num_parts = -(-num_rows * num_patches // _CPU_PATCHES)
        size = -(-num_rows // max(num_parts, 1))
        for first in range(0, num_rows, max(size, 1)):
            rows = slice(first, first + size)
            known = self.known and KnownFuture(*(part[rows] for part in self.known))
            yield Inputs(self.target[rows], self.target_mask[rows], self.series_ids[rows], known)


Decode = Callable[[Weights, Inputs, Request, list[Rotation]], Tensor]


def forecast(
    weights: Weights,
    inputs: Inputs,
    request: Request,
    decode: Decode,
) -> Float[Tensor, "Q B V H"]:
    """The quantiles that ``Toto2.forecast`` describes; ``decode`` is ``decode_blocks``.

    Raises:
        ValueError: one line for each value of the request that is not allowed.
    """
    faults = request.faults(inputs.target.shape[-1])
    if faults:
        raise ValueError("\n".join(faults))
    with torch.inference_mode():
        turns = _turns(request, inputs.target, weights)
        found = [decode(weights, part, request, turns) for part in inputs.parts(request)]
    # Outside of that mode, so that the result is an ordinary tensor.
    return torch.cat(found, 1)


@cache
def compiled_decode() -> Decode:
    """``decode_blocks`` as programs: one for a single row and one for many, of each other shape."""
    program = torch.compile(  # pyright: ignore[reportCallIssue]
        decode_blocks, dynamic=False, recompile_limit=_MOST_PROGRAMS
    )

    def decode(weights: Weights, inputs: Inputs, request: Request, turns: list[Rotation]) -> Tensor:
        if len(inputs.target) > 1:
            for tensor in (*inputs[:3], *(inputs.known or ())):
                torch._dynamo.mark_dynamic(tensor, 0)
        return program(weights, inputs, request, turns)

    return decode


def _turns(request: Request, target: Tensor, weights: Weights) -> list[Rotation]:
    """How the new patches of each block are turned; ``decode_blocks`` says where they stand."""
    num_context, width = target.shape[-1] // PATCH_SIZE, weights.config.qk_dim
    dtype = weights.dtype
    return [
        _turn(fresh, start + count, width, target.device, dtype)
        for fresh, start, count in request.spans(num_context)
    ]


@lru_cache(maxsize=256)
def _turn(fresh: int, end: int, width: int, device: torch.device, dtype: torch.dtype) -> Rotation:
    centre = torch.full((end - 1,), float(end // 2), device=device)
    turn = rotation(centre, width, device=device, dtype=dtype)
    return Rotation(*(factor[fresh:] for factor in turn))


def decode_blocks(
    weights: Weights, inputs: Inputs, request: Request, turns: list[Rotation]
) -> Tensor:
    """Forecast block by block; the later ones encode the patches of the block before and their own.

    They stand as those of the released package do with its cache of keys: their xPos decay counts
    from their own middle while older keys keep the middle of their time, and over variates they
    have the groups of the first patches of the context. The latter is visible only where one of
    these was wholly unobserved.
    """
    num_variates, length = inputs.target.shape[1:]
    canvas = _canvas(inputs, request)
    forecasts, limits, past = [], None, []
    for (fresh, start, count), turn in zip(request.spans(length // PATCH_SIZE), turns, strict=True):
        values, visible = canvas.upto(start + count - 1)
        loc, scale = causal_stats(values, visible, min_observed=request.min_observed)
        new = slice(fresh, None)
        z = standardise(values[:, :, new], loc[..., new], scale[..., new])
        hidden = ~visible[:, :, new]
        token = torch.cat([z.masked_fill(hidden, 0.0), hidden.to(z.dtype)], -1)
        out, past = encode(
            weights,
            token.to(weights.dtype),
            canvas.seen(fresh, start + count - 1, turn),
            past,
            read_from=start - 1 - fresh,
            keep=start - fresh,
        )
        if limits is None:
            limits = _limits(canvas, scale[..., start - 1], length, request.max_deviation)
        # Nothing that follows changes the order.
        quantiles = _sorted_quantiles(out, weights.config).double()
        real = quantiles.sinh() * scale[..., start - 1 :, None] + loc[..., start - 1 :, None]
        real = real.clamp(*limits).float()[:, :, :num_variates].flatten(-2)
        forecasts.append(real)
        canvas.fill(real[request.median], start * PATCH_SIZE)
    return torch.cat(forecasts, -1)[..., : request.prediction_length]


def _sorted_quantiles(out_BVSO: Tensor, config: ModelConfig) -> Tensor:
    """What the head says, in asinh space: [Q, B, V, S, L]."""
    raw = out_BVSO.unflatten(-1, (PATCH_SIZE, -1))
    if config.head == "student_t":
        return mixture_of(raw.movedim(-1, 0)).quantiles(config.quantile_levels)
    return raw.sort(dim=-1).values.movedim(-1, 0)


@dataclass(frozen=True)
class _Canvas:
    """Context and horizon of all variates; the horizon fills up as it is decoded."""

    values: Float[Tensor, "B V TH"]
    visible: Bool[Tensor, "B V TH"]
    groups: Int[Tensor, "B V P"]

    def upto(self, end: int) -> tuple[Tensor, Tensor]:
        """Values and visibility of the patches before ``end``, [B, V, P, L]."""
        steps = end * PATCH_SIZE
        patches = (-1, PATCH_SIZE)
        return (
            self.values[..., :steps].unflatten(-1, patches),
            self.visible[..., :steps].unflatten(-1, patches),
        )

    def seen(self, fresh: int, end: int, turn: Rotation) -> Seen:
        """Who of the patches from ``fresh`` to ``end`` sees whom of those before ``end``."""
        groups = self.groups[..., :end]
        num_variates, num_new = groups.shape[1], end - fresh
        rows = groups.flatten(0, 1)
        causal = torch.ones(num_new, end, dtype=torch.bool, device=groups.device).tril(fresh)
        over_time = (rows[:, fresh:, None] == rows[:, None, :]) & causal
        if num_variates == 1:
            return Seen(over_time[:, None], None, turn)
        columns = groups[..., :num_new].transpose(1, 2)
        over_variates = columns[..., :, None] == columns[..., None, :]
        return Seen(over_time[:, None], over_variates[:, :, None], turn)

    def fill(self, median: Tensor, first: int) -> None:
        """Take the median of the targets from step ``first`` on for observed."""
        place = (slice(None), slice(median.shape[1]), slice(first, first + median.shape[-1]))
        self.values[place] = median
        self.visible[place] = True


def _canvas(inputs: Inputs, request: Request) -> _Canvas:
    target, target_mask, ids, known = inputs
    length, horizon = target.shape[-1], request.num_patches * PATCH_SIZE
    values, visible = F.pad(target, (0, horizon)), F.pad(target_mask, (0, horizon))
    # Training never leaves the end of the context systematically unobserved.
    visible[..., length - PATCH_SIZE : length] = True
    if known is not None:
        missing = max(length + horizon - known.values.shape[-1], 0)
        pad, upto = (0, missing), length + horizon
        values = torch.cat([values, F.pad(known.values, pad)[..., :upto]], 1)
        visible = torch.cat([visible, F.pad(known.mask, pad)[..., :upto]], 1)
        ids = torch.cat([ids, known.series_ids], 1)
    values = torch.where(visible, values, 0.0)
    observed = visible.unflatten(-1, (-1, PATCH_SIZE)).any(-1)
    observed[..., length // PATCH_SIZE :] = True  # the horizon is hidden, not missing
    return _Canvas(values, visible, torch.where(observed, ids[..., None], -1))


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
