"""NorMuon: momentum, made orthogonal, its rows brought to one size, with cautious weight decay.

Sources: arXiv 2510.05491 (NorMuon), arXiv 2510.12402 (cautious decay) and, for the order of the
operations, microsoft/dion at 0a059a4. The rows are normalised at an unchanged Frobenius norm, which
arXiv 2605.20119 equation 5 leaves out and every published rate needs.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate

from toto_core.optim.polar_express import polar_express

_ROW_EPS = 1e-8  # added to the root of a row's second moment
STACK_ELEMENTS = 2**24  # of the matrices that are orthogonalised together: bounds the memory


class NorMuon(torch.optim.Optimizer):
    """Moves matrices by steps whose singular values, and whose rows, are about alike.

    A step is ``lr * sqrt(fan_out / fan_in)`` times a matrix with the Frobenius norm of an
    orthogonal one. Each element that the step does not push away from zero shrinks by
    ``lr * weight_decay`` of itself.

    The state of a matrix is its ``momentum`` (its own shape and sharding) and the second moment of
    its rows, ``row_moment`` (rows x 1, whole on every process). Sharded matrices (DTensor) are
    gathered for the orthogonalisation, which every process computes alike.

    Args:
        params: matrices, or groups of them; a group may have its own ``lr`` and ``weight_decay``.
        momentum: share of the momentum that a step keeps, 0 to 1.
        beta2: the same of the rows' second moment.
        nesterov: whether the gradient counts once more than in the momentum.
        dtype: of the orthogonalisation; float32 is for processors that only emulate bfloat16.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float,
        beta2: float,
        weight_decay: float = 0.0,
        nesterov: bool = True,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "beta2": beta2,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "dtype": dtype,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim != 2:
                    raise ValueError(
                        f"params: a parameter of shape {tuple(parameter.shape)}, matrices are "
                        "allowed; give the others to AdamW"
                    )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore
        """Move every matrix that has a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for matrices in _stacks(group["params"]):
                self._move(matrices, group)
        return loss

    def _move(self, matrices: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Move matrices of one shape."""
        states = [self._state_of(matrix) for matrix in matrices]
        directions = [
            _whole(_direction(matrix, state["momentum"], group))
            for matrix, state in zip(matrices, states, strict=True)
        ]
        updates = polar_express(torch.stack(directions)).float()
        moments = torch.stack([state["row_moment"] for state in states])
        updates, moments = _normalise_rows(updates, moments, beta2=group["beta2"])
        fan_out, fan_in = matrices[0].shape
        rate = group["lr"] * (fan_out / fan_in) ** 0.5
        decay = group["lr"] * group["weight_decay"]
        for matrix, state, update, moment in zip(matrices, states, updates, moments, strict=True):
            state["row_moment"].copy_(moment)
            own = _sharded_like(update, matrix)
            if decay:
                matrix.sub_(torch.where(matrix * own >= 0, matrix * decay, 0.0))
            matrix.sub_(own, alpha=rate)

    def _state_of(self, matrix: nn.Parameter) -> dict[str, Tensor]:
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
            state["row_moment"] = torch.zeros(
                matrix.shape[0], 1, dtype=matrix.dtype, device=matrix.device
            )
        return state


def _stacks(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Those with a gradient in groups of one shape, none of them too large for the memory."""
    alike: dict[tuple[int, ...], list[nn.Parameter]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            alike.setdefault(tuple(parameter.shape), []).append(parameter)
    for shape, members in alike.items():
        size = max(1, STACK_ELEMENTS // (shape[0] * shape[1]))
        for first in range(0, len(members), size):
            yield members[first : first + size]


def _direction(matrix: nn.Parameter, momentum: Tensor, group: dict[str, Any]) -> Tensor:
    """Update the momentum; give what is to be orthogonalised, rounded as that needs it."""
    gradient = matrix.grad
    assert gradient is not None
    momentum.mul_(group["momentum"]).add_(gradient)
    ahead = gradient + group["momentum"] * momentum if group["nesterov"] else momentum
    return ahead.to(group["dtype"])


def _normalise_rows(
    updates_NRC: Tensor, moments_NR1: Tensor, *, beta2: float
) -> tuple[Tensor, Tensor]:
    """Divide each row by the root of its second moment and restore each matrix' norm."""
    norm = updates_NRC.norm(dim=(-2, -1), keepdim=True)
    moments_NR1 = torch.lerp(moments_NR1, updates_NRC.square().mean(-1, keepdim=True), 1 - beta2)
    rows = updates_NRC / (moments_NR1.sqrt() + _ROW_EPS)
    found = rows.norm(dim=(-2, -1), keepdim=True).clamp(min=_ROW_EPS)
    return rows * (norm / found), moments_NR1


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _sharded_like(whole: Tensor, matrix: nn.Parameter) -> Tensor:
    """The part of ``whole``, the same on every process, that belongs to this one."""
    if not isinstance(matrix, DTensor):
        return whole
    mesh = matrix.device_mesh
    everywhere = DTensor.from_local(whole, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return everywhere.redistribute(mesh, matrix.placements)
