"""An optimizer for matrices that learns in half as many steps as AdamW: momentum, made orthogonal (Muon)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from hfclient.extras import extra

torch: Any = extra("torch", "'hfclient[torch]'", needed_by="Training")

Tensor: TypeAlias = Any

MOMENTUM = 0.95
LIKE_ADAM = 0.2  # makes a step as long as one of Adam's
QUINTIC = (
    3.4445,
    -4.7750,
    2.0315,
)  # the iteration of Newton and Schulz, with coefficients that bring it near 1 quickly
ITERATIONS = 5


class Muon:
    """Steps for the matrices of a network; those of one shape are done together."""

    def __init__(self, matrices: Iterable[Tensor]) -> None:
        alike: dict[tuple[int, ...], list[Tensor]] = {}
        for each in matrices:
            alike.setdefault(tuple(each.shape), []).append(each)
        self.groups: Sequence[tuple[list[Tensor], Tensor]] = [
            (matrices, torch.zeros(len(matrices), *shape)) for shape, matrices in alike.items()
        ]

    def step(self, rate: float) -> None:
        """Move each matrix against its gradient, and forget the gradient."""
        with torch.no_grad():
            for matrices, moving in self.groups:
                gradients = torch.stack([each.grad for each in matrices])
                moving.lerp_(gradients, 1 - MOMENTUM)
                moves = _orthogonal(gradients.lerp(moving, MOMENTUM))
                length = LIKE_ADAM * max(moves.shape[-2:]) ** 0.5
                for each, move in zip(matrices, moves, strict=True):
                    each.sub_(move, alpha=rate * length)
                    each.grad = None


def _orthogonal(matrices: Tensor) -> Tensor:
    tall = matrices.shape[-2] > matrices.shape[-1]
    found = matrices.mT if tall else matrices
    found = found / (found.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    first, third, fifth = QUINTIC
    for _ in range(ITERATIONS):
        square = found @ found.mT
        found = first * found + (third * square + fifth * square @ square) @ found
    return found.mT if tall else found
