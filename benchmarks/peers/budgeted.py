"""Peers that meet a byte budget by one setting: low rank, magnitude pruning, random drop.

LoRA extraction by SVD: one rank for all matrices, factors in float16; an embedding or head is
stored as pruned deltas of the same size where that has a smaller error, which favours the method.
Magnitude pruning: one threshold on |Δ| over all matrices, embeddings and head (the same share of
each tensor instead keeps slightly less). DARE (arXiv 2311.03099): one drop rate over the same
tensors. Norms and biases are exact in all of them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.peers.codecs import encode_dropped, encode_lowrank
from benchmarks.peers.fit import fit, fit_count
from benchmarks.peers.recipe import measured
from benchmarks.peers.scheme import Peer
from skillpm.delta.codecs import topk
from skillpm.delta.codecs.svd import matrix_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.peers.task import Budget, Task
    from skillpm.delta.coding.payload import PayloadWriter, Record
    from skillpm.delta.tensors.rounding import Floats
    from skillpm.spec.dtypes import TensorSpec

KEPT_BYTES = 4
"""Approximate bytes of one pruned delta: two for the value, the rest for the position."""
TRIES = 6


def lora(task: Task, budget: Budget) -> Peer:
    """The largest uniform rank that fits."""
    sides = _Sides(task)
    size: Callable[[int], float] = cache(lambda rank: measured(task, sides.peer(rank)))
    widest = max(factors.sigma.size for factors in task.factors.values())
    return sides.peer(fit_count(size, budget, 1, widest))


class _Sides:
    """The singular factors of all matrices; those of embeddings up to the requested rank."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._wide: dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def peer(self, rank: int) -> Peer:
        """The method at one rank."""

        def linear(spec: TensorSpec, _delta: Floats, writer: PayloadWriter) -> Record:
            found = self.task.factors[spec.name]
            r = min(rank, found.sigma.size)
            root = np.sqrt(found.sigma[:r])
            return encode_lowrank(
                spec, found.left[:, :r] * root, root[:, None] * found.right[:r], writer
            )

        def embedding(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
            left, right = self._embedding(spec, rank)
            keep = min(delta.size, 2 * (left.size + right.size) // KEPT_BYTES)
            error = np.sum(np.square(delta - (left @ right).reshape(-1)))
            rest = np.partition(np.square(delta), delta.size - keep)[: delta.size - keep]
            if rest.sum() < error:
                return topk.encode(spec, delta, keep, writer)
            return encode_lowrank(spec, left, right, writer)

        return Peer("lora", self.task, linear, embedding, {"rank": rank})

    def _embedding(self, spec: TensorSpec, rank: int) -> tuple[Floats, Floats]:
        """Rank-r factors from the Gram matrix of the narrow side."""
        if spec.name not in self._wide:
            matrix = torch.from_numpy(self.task.deltas[spec.name]).reshape(matrix_shape(spec))
            if matrix.shape[0] < matrix.shape[1]:
                self._wide[spec.name] = torch.linalg.svd(matrix, full_matrices=False)
            else:
                _, vectors = torch.linalg.eigh(matrix.T @ matrix)
                right = vectors.flip(1).T  # [n, n], by falling singular value
                left = matrix @ right.T
                self._wide[spec.name] = (left, torch.ones(len(right)).double(), right)
        left, sigma, right = self._wide[spec.name]
        return (left[:, :rank] * sigma[:rank]).numpy(), right[:rank].numpy()


def magnitude(task: Task, budget: Budget) -> Peer:
    """The lowest threshold that fits."""
    names = [*task.named("linear"), *task.named("embedding")]
    falling = np.sort(np.abs(np.concatenate([task.deltas[name] for name in names])))[::-1]
    live = int(np.count_nonzero(falling))

    def peer(share: float) -> Peer:
        threshold = float(falling[max(1, round(share * live)) - 1])

        def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
            return topk.encode(spec, delta, int((np.abs(delta) >= threshold).sum()), writer)

        return Peer("magnitude", task, encode, encode, {"share": share, "threshold": threshold})

    return peer(_share(task, peer, budget))


def dare(task: Task, budget: Budget) -> Peer:
    """The lowest drop rate that fits, with the task's seed."""

    def peer(keep: float) -> Peer:
        def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
            return encode_dropped(spec, delta, keep, task.seed, writer)

        return Peer("dare", task, encode, encode, {"drop": 1 - keep})

    return peer(_share(task, peer, budget))


def _share(task: Task, peer: Callable[[float], Peer], budget: Budget) -> float:
    """The largest share of the deltas whose file fits, starting from four bytes per delta."""
    guess = budget / KEPT_BYTES / sum(delta.size for delta in task.deltas.values())
    size: Callable[[float], float] = lambda share: measured(task, peer(share))  # noqa: E731
    return fit(size, budget, low=guess / 8, high=min(1.0, guess * 4), tries=TRIES)
