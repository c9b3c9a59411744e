"""D-QReLO (Li et al., Findings of ACL 2026, arXiv 2604.16940): one bit, and a low-rank residual.

From the abstract: one-bit quantisation captures the dominant structure of Δ, and a compensated
low-rank approximation of the residual the details; neither training nor data. The details are
assumptions. One scale for each matrix: s · sign(Δ), where sign(0) = 0. The compensation: scale and
low rank are fitted in turn by least squares, `ROUNDS` times. Factors are integers in steps of a
quarter of their deviation.

In the lean file, signs are entropy-coded, zeros too: on light bf16 fine-tunes, where most weights
do not change, one bit a weight would be the larger form. Signs have a size of their own, so that
only the rank depends on the budget; without a budget the rank is `RANK`. The embeddings, of which
the paper does not speak, get a share of the budget as in ImPart.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.codecs import DECODERS, WholeDecoder
from benchmarks.peers.fit import fit_count
from benchmarks.peers.magnitudes import EMBEDDING_SHARE, embedding
from benchmarks.peers.recipe import measured
from benchmarks.peers.scheme import Peer
from benchmarks.peers.streams import put_codes, read_codes, rounded
from skillpm.delta.codecs.svd import matrix_shape
from skillpm.delta.coding.payload import Record
from skillpm.delta.encoding.torch_svd import decompose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.peers.task import Budget, Task
    from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
    from skillpm.delta.tensors.rounding import Floats
    from skillpm.spec.dtypes import TensorSpec

DQRELO = "dqrelo"
RANK = 16
LARGEST = 64
"""The highest rank that a budget is tried with."""
ROUNDS = 2
FINENESS = 4


def parts_of(matrix: Floats, rank: int) -> tuple[float, Floats, Floats]:
    """The scale, and the factors [m, r] and [r, n] of the residual's best approximation."""
    signs = np.sign(matrix)
    count = max(1, int(np.count_nonzero(signs)))
    low: Floats = np.zeros_like(matrix)
    for _ in range(ROUNDS):
        scale = float(((matrix - low) * signs).sum()) / count
        found = decompose(matrix - scale * signs)
        root = np.sqrt(found.sigma[:rank])
        left, right = found.left[:, :rank] * root, root[:, None] * found.right[:rank]
        low = left @ right
    return scale, left, right


def encode_dqrelo(
    spec: TensorSpec, matrix: Floats, parts: tuple[float, Floats, Floats], writer: PayloadWriter
) -> Record:
    """Write the signs and both factors; `parts` as from `parts_of`."""
    scale, *factors = parts
    put_codes(writer, spec, "signs", np.sign(matrix).astype(np.int32).reshape(-1))
    steps = []
    for name, factor in zip("uv", factors, strict=True):
        steps.append(float(factor.std()) / FINENESS if factor.size else 0.0)
        put_codes(writer, spec, name, rounded(factor.reshape(-1), steps[-1]))
    rank = factors[0].shape[1]
    record = Record(DQRELO, {"rank": rank, "scale": scale, "steps": steps})
    writer.describe(spec.name, record)
    return record


class SignsAndRank(WholeDecoder):
    """The inverse of `encode_dqrelo`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        signs = read_codes(reader, spec, "signs", spec.elements)
        rows, width = matrix_shape(spec)
        rank, (left, right) = settings["rank"], settings["steps"]
        u = read_codes(reader, spec, "u", rows * rank).reshape(rows, rank) * left
        v = read_codes(reader, spec, "v", rank * width).reshape(rank, width) * right
        return np.asarray(settings["scale"] * signs + (u @ v).reshape(-1))


DECODERS[DQRELO] = SignsAndRank


def dqrelo(task: Task, budget: Budget | None) -> Peer:
    """The highest rank that fits, up to `LARGEST`; `RANK` without a budget.

    Raises `ValueError` if the signs alone exceed the budget.
    """
    specs = task.before.specs
    shapes = {name: matrix_shape(specs[name]) for name in task.named("linear")}
    most = RANK if budget is None else LARGEST
    known = {n: parts_of(task.deltas[n].reshape(shape), most) for n, shape in shapes.items()}
    allowed = budget or sum(specs[pair.tensor].nbytes for pair in task.pairs) // 20
    outer = embedding(task, EMBEDDING_SHARE * allowed)

    def peer(rank: int) -> Peer:
        def linear(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
            scale, left, right = known[spec.name]
            cut = (scale, left[:, :rank], right[:rank])
            return encode_dqrelo(spec, delta.reshape(shapes[spec.name]), cut, writer)

        return Peer(DQRELO, task, linear, outer, {"rank": rank})

    if budget is None:
        return peer(RANK)
    size: Callable[[int], float] = cache(lambda rank: measured(task, peer(rank)))
    return peer(fit_count(size, budget, 1, LARGEST))
