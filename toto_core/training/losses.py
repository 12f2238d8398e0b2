"""Losses of next-patch predictions, in the asinh space in which the network works.

Patch i predicts patch i + 1. Its targets are standardised with the location and scale of patch i,
which know nothing of patch i + 1, and compressed by asinh (arXiv 2605.20119 sections 2.2 and 2.4;
the anchor is not stated there, and any other would leak).

Shapes: B rows, V variates, T time steps, P patches, L patch size, Q quantile levels, K
components; ``predicted`` = P - 1, the patches that have a predecessor; R = T - L, the time steps
of their predecessors, which are all that the network reads.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from toto_core.model import MixtureOutput, Output
from toto_core.model.sizes import QUANTILE_LEVELS
from toto_core.model.student_t import StudentTMixture
from toto_core.training.settings import TrainSettings

CAUCHY_SCALE = 0.1  # delta of Toto 1.0; there of scaled values, here in asinh space


def objective_sum(
    output: Output | MixtureOutput,
    target_BVT: Float[Tensor, "B V T"],
    weight_BVPL: Float[Tensor, "B V predicted L"],
    settings: TrainSettings,
) -> Float[Tensor, ""]:
    """Sum the loss of what the network says of all patches but the last over its weighted targets.

    Of quantiles: the pinball loss, and ``huber_share`` of Huber's loss on the median. Of a mixture:
    ``nll_share`` of its negative log-likelihood, the rest Cauchy's loss on its mean (Toto 1.0,
    arXiv 2505.14766).
    """
    patch_size = weight_BVPL.shape[-1]
    targets = anchored_targets(target_BVT, output.loc, output.scale, patch_size=patch_size)
    if isinstance(output, MixtureOutput):
        return mixture_sum(output.mixture, targets, weight_BVPL, nll_share=settings.nll_share)
    loss = pinball_sum(output.quantiles, targets, weight_BVPL, output.levels)
    if not settings.huber_share:
        return loss
    median = output.quantiles[output.levels.index(0.5)]
    huber = huber_sum(median, targets, weight_BVPL, delta=settings.huber_delta)
    return torch.lerp(loss, huber, settings.huber_share)


def num_outputs(output: Output | MixtureOutput) -> int:
    """How many numbers the network says of each time step."""
    parts = output.mixture if isinstance(output, MixtureOutput) else (output.quantiles,)
    return sum(part.shape[0] for part in parts)


def anchored_targets(
    target_BVT: Float[Tensor, "B V T"],
    loc_BVR: Float[Tensor, "B V R"],
    scale_BVR: Float[Tensor, "B V R"],
    *,
    patch_size: int,
) -> Float[Tensor, "B V predicted L"]:
    """Standardise each patch by the statistics of the one before: asinh((x - loc) / scale)."""
    target_BVPL = target_BVT.unflatten(-1, (-1, patch_size))
    loc_BVP1 = loc_BVR.unflatten(-1, (-1, patch_size))[..., -1:]
    scale_BVP1 = scale_BVR.unflatten(-1, (-1, patch_size))[..., -1:]
    # In float64: at a high level float32 would lose the digits that make the deviation.
    deviation = (target_BVPL[..., 1:, :].double() - loc_BVP1.double()) / scale_BVP1.double()
    return torch.asinh(deviation.float())


def target_weights(
    target_mask_BVT: Bool[Tensor, "B V T"],
    cpm_mask_BVT: Bool[Tensor, "B V T"],
    known_BV: Bool[Tensor, "B V"],
    *,
    patch_size: int,
    horizon: int = 0,
) -> Float[Tensor, "B V predicted L"]:
    """Weigh each target point: 1 where it counts, else 0.

    A point counts if it is observed, its variate is not a known covariate, and the patch that
    predicts it has a visible observation in itself or before (without one there is no scale).

    Args:
        horizon: if positive, only the last ``horizon`` time steps count.
    """
    observed_BVPL = target_mask_BVT.unflatten(-1, (-1, patch_size))
    visible_BVPL = (target_mask_BVT & cpm_mask_BVT).unflatten(-1, (-1, patch_size))
    has_past_BVP = visible_BVPL.any(-1).cumsum(-1) > 0
    counts = observed_BVPL[..., 1:, :] & has_past_BVP[..., :-1, None] & ~known_BV[..., None, None]
    if horizon:
        counts[:, :, : counts.shape[2] - horizon // patch_size] = False
    return counts.float()


def pinball_sum(
    quantiles_QBVPL: Float[Tensor, "Q B V predicted L"],
    target_BVPL: Float[Tensor, "B V predicted L"],
    weight_BVPL: Float[Tensor, "B V predicted L"],
    levels: tuple[float, ...] = QUANTILE_LEVELS,
) -> Float[Tensor, ""]:
    """Sum the weighted pinball loss over all points and average it over the levels.

    The loss at level q is max(q d, (q - 1) d) with d = target - quantile. Divide by the sum of
    the weights of the whole step, over all its micro-batches, for the mean.
    """
    return _Pinball.apply(quantiles_QBVPL, target_BVPL, weight_BVPL, levels)  # pyright: ignore


def huber_sum(
    median_BVPL: Float[Tensor, "B V predicted L"],
    target_BVPL: Float[Tensor, "B V predicted L"],
    weight_BVPL: Float[Tensor, "B V predicted L"],
    *,
    delta: float,
) -> Float[Tensor, ""]:
    """Sum Huber's loss over all weighted points: d^2 / 2 up to ``delta``, linear beyond."""
    loss = F.huber_loss(median_BVPL, target_BVPL, reduction="none", delta=delta)
    return (loss * weight_BVPL).sum()


def mixture_sum(
    mixture: StudentTMixture,
    target_BVPL: Float[Tensor, "B V predicted L"],
    weight_BVPL: Float[Tensor, "B V predicted L"],
    *,
    nll_share: float,
) -> Float[Tensor, ""]:
    """Sum the composite loss of Toto 1.0 over all weighted points.

    The likelihood is that of the targets in asinh space. The one of the values themselves differs
    by the log-derivative of the standardisation, which no weight of the network enters: the
    gradients are the same. The robust loss is Barron's (arXiv 1701.03077) with alpha = 0.
    """
    nll = -mixture.log_density(target_BVPL)
    error = (target_BVPL - mixture.mean()) / CAUCHY_SCALE
    cauchy = (error.square() / 2).log1p()
    return (torch.lerp(cauchy, nll, nll_share) * weight_BVPL).sum()


class _Pinball(torch.autograd.Function):
    """Makes the gradient on the way forward: a third of the passes over the quantiles."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        quantiles: Tensor,
        target: Tensor,
        weight: Tensor,
        levels: tuple[float, ...],
    ) -> Tensor:
        level_Q = torch.tensor(levels, device=target.device).view(-1, 1, 1, 1, 1)
        grad = (quantiles > target).float().sub_(level_Q).mul_(weight / len(levels))
        ctx.save_for_backward(grad)
        return (quantiles.float() - target).mul_(grad).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401  # pyright: ignore
        return ctx.saved_tensors[0] * grad, None, None, None
