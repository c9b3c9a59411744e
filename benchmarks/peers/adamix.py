"""ADAMIX, later DeltaMix and PrinMix (Xiong et al., arXiv 2506.11087): bits for singular vectors.

The precision of each singular vector is the solution of a 0/1 integer program: least quantisation
error at the bits that are allowed. The error of vector k at b bits is σ_k² · 2 · ε_b (the paper's
"singular-value-dominated scaling"), where ε_b is the relative error of b bits, here measured on a
normal sample in groups of 128. The Lagrangian solves the program but for one vector of each
matrix; one multiplier serves all matrices, which the paper solves apart.

V is quantised by GPTQ over the layer's inputs, then U, whose target is corrected for V̂: U* = Δ H V̂
(V̂ᵀ H V̂)⁻¹ Σ⁻¹, the least squares choice over the inputs H. The paper names this step, but its
equations were not at hand: program and correction are assumptions from its abstracts. Codes are
entropy-coded. The embeddings and the head, which the paper leaves dense, get a share of the budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.calibrate import batches, load_model, walk
from benchmarks.peers.codecs import DECODERS, WholeDecoder, halves
from benchmarks.peers.fit import fit
from benchmarks.peers.gptq import left_side, right_side
from benchmarks.peers.magnitudes import (
    EMBEDDING_SHARE,
    Threshold,
    decoded,
    embedding_threshold,
    encode_coded,
)
from benchmarks.peers.recipe import measured, place
from benchmarks.peers.scheme import Encode, Peer
from benchmarks.peers.streams import put_codes, read_codes
from skillpm.delta.codecs.shared.quantise import Quantised, dequantise, group_count, quantise
from skillpm.delta.codecs.svd import ColumnGroup, Columns, SingularFactors, matrix_shape
from skillpm.delta.coding.payload import Record
from skillpm.delta.tensors.rounding import Floats, to_float64

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.peers.task import Budget, Task
    from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
    from skillpm.spec.dtypes import TensorSpec

ADAMIX = "adamix"
BITS = (8, 6, 5, 4, 3, 2)
GROUP = 128
DAMPING = 0.01
MARGIN = 0.985
"""Codes of GPTQ are larger than the rounded codes that sizes are estimated from."""
TRIES = 7


@cache
def relative_errors() -> dict[int, float]:
    """ε_b of each precision; 1 without bits."""
    sample = np.random.default_rng(0).standard_normal((64, 1024))
    total = np.square(sample).sum()
    errors = {
        bits: float(np.square(sample - dequantise(quantise(sample, bits, GROUP), GROUP)).sum())
        for bits in BITS
    }
    return {0: 1.0, **{bits: error / total for bits, error in errors.items()}}


def columns_at(sigma: Floats, shape: tuple[int, int], price: float) -> list[Columns]:
    """The bits of each vector at a price of a bit, as groups; at least one vector has bits."""
    errors = relative_errors()
    choices = sorted(errors, reverse=True)
    costs = np.array(
        [2 * np.square(sigma) * errors[b] + price * b * sum(shape) for b in choices]
    )  # [choices, vectors]
    chosen = np.array(choices)[costs.argmin(axis=0)]
    groups = [Columns(bits, int((chosen == bits).sum())) for bits in BITS]
    return [one for one in groups if one.count] or [Columns(BITS[-1], 1)]


def encode_mixed(spec: TensorSpec, factors: list[ColumnGroup], sigma: Floats,
                 writer: PayloadWriter) -> Record:  # fmt: skip
    """Write quantised factors, each precision under its own context."""
    rank = sum(one.columns.count for one in factors)
    exponent, words = halves(sigma[:rank])
    writer.put(spec.name, "sigma", words.tobytes())
    for side, length in zip("uv", matrix_shape(spec), strict=True):
        blocks = [one.left if side == "u" else one.right for one in factors]
        codes = np.concatenate([block.codes.reshape(-1) for block in blocks]).astype(np.int32)
        put_codes(writer, spec, side, codes, _contexts(_pairs(factors), length))
        scales = np.concatenate([block.scales.reshape(-1) for block in blocks])
        writer.put(spec.name, f"{side}s", scales.astype("<f2").tobytes())
        zeros = np.concatenate([block.zeros.reshape(-1) for block in blocks])
        writer.put(spec.name, f"{side}z", zeros.tobytes())
    record = Record(ADAMIX, {"columns": _pairs(factors), "exponent": exponent})
    writer.describe(spec.name, record)
    return record


def _pairs(factors: list[ColumnGroup]) -> list[list[int]]:
    return [[one.columns.bits, one.columns.count] for one in factors]


def _contexts(columns: list[list[int]], length: int) -> Any:
    parts = [np.full(count * length, bits, dtype=np.uint8) for bits, count in columns]
    return np.concatenate(parts)


class MixedFactors(WholeDecoder):
    """The inverse of `encode_mixed`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        columns = settings["columns"]
        rank = sum(count for _, count in columns)
        words = np.frombuffer(reader.part(spec.name, "sigma", 2 * rank), dtype="<u2")
        sigma = np.ldexp(to_float64(words, "F16"), settings["exponent"])
        sides = []
        for side, length in zip("uv", matrix_shape(spec), strict=True):
            shape = (rank, group_count(length, GROUP))
            codes = read_codes(reader, spec, side, rank * length, _contexts(columns, length))
            count = shape[0] * shape[1]
            scales = np.frombuffer(reader.part(spec.name, f"{side}s", 2 * count), "<f2")
            zeros = np.frombuffer(reader.part(spec.name, f"{side}z", count), np.uint8)
            block = Quantised(
                codes.astype(np.uint8).reshape(rank, length),
                scales.reshape(shape),
                zeros.reshape(shape),
            )
            sides.append(dequantise(block, GROUP))
        return np.asarray(((sides[0] * sigma[:, None]).T @ sides[1]).reshape(-1))


DECODERS[ADAMIX] = MixedFactors


@dataclass(frozen=True)
class Mixed:
    """One fine-tune at one price of a bit."""

    task: Task
    price: float
    threshold: Threshold

    def columns(self, name: str) -> list[Columns]:
        """The column groups of one matrix."""
        shape = matrix_shape(self.task.before.specs[name])
        return columns_at(self.task.factors[name].sigma, shape, self.price)

    def embedding(self, spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
        """Write an embedding or a head."""
        return encode_coded(spec, delta, self.threshold, writer)

    def peer(self, linear: Encode) -> Peer:
        """The scheme with these factors."""
        return Peer(ADAMIX, self.task, linear, self.embedding, {"price": self.price})

    def rounded(self) -> Peer:
        """The scheme with factors rounded to nearest, to estimate sizes."""

        def linear(spec: TensorSpec, _delta: Floats, writer: PayloadWriter) -> Record:
            factors, groups, start = self.task.factors[spec.name], [], 0
            for part in self.columns(spec.name):
                span = slice(start, start + part.count)
                left, right = (
                    quantise(rows[span], part.bits, GROUP)
                    for rows in (factors.left.T, factors.right)
                )
                groups.append(ColumnGroup(part, left, right))
                start += part.count
            return encode_mixed(spec, groups, factors.sigma, writer)

        return self.peer(linear)

    def calibrated(self) -> Peer:
        """The scheme with factors quantised over the inputs of the model compressed so far."""
        task = self.task
        model = load_model(task, task.tuned)
        weights = dict(model.named_parameters())
        for name in task.named("embedding"):
            place(task, weights[name], name, decoded(task.deltas[name], self.threshold, name))
        found: dict[str, list[ColumnGroup]] = {}
        linears = set(task.named("linear"))
        for names, inputs in walk(model, batches(task)):
            for name in [name for name in names if name in linears]:
                matrix = task.deltas[name].reshape(matrix_shape(task.before.specs[name]))
                factors = task.factors[name]
                found[name] = corrected(matrix, factors, self.columns(name), inputs)
                place(task, weights[name], name, _product(factors.sigma, found[name]))
        for name in linears - found.keys():  # the text does not reach it
            matrix = task.deltas[name].reshape(matrix_shape(task.before.specs[name]))
            columns, alone = self.columns(name), np.eye(matrix.shape[1])
            found[name] = corrected(matrix, task.factors[name], columns, alone)

        def linear(spec: TensorSpec, _delta: Floats, writer: PayloadWriter) -> Record:
            return encode_mixed(spec, found[spec.name], task.factors[spec.name].sigma, writer)

        return self.peer(linear)


def corrected(
    matrix: Floats, factors: SingularFactors, columns: list[Columns], inputs: Floats
) -> list[ColumnGroup]:
    """Quantise V, correct U's target for it, and quantise U."""
    right = right_side(factors.right, columns, inputs, group=GROUP, damping=DAMPING)
    rank = sum(part.count for part in columns)
    sigma = factors.sigma[:rank]
    scaled = sigma[:, None] * np.concatenate([dequantise(block, GROUP) for block in right])
    inner = scaled @ inputs @ scaled.T
    damped = inner + DAMPING * max(float(np.trace(inner)) / rank, 1e-300) * 1e-3 * np.eye(rank)
    target = np.linalg.solve(damped, scaled @ inputs @ matrix.T).T
    left = left_side(target, columns, inner, group=GROUP, damping=DAMPING)
    return [ColumnGroup(*three) for three in zip(columns, left, right, strict=True)]


def _product(sigma: Floats, groups: list[ColumnGroup]) -> Floats:
    """Û Σ V̂ᵀ as the decoder computes it."""
    left, right = (
        np.concatenate([dequantise(side, GROUP) for side in sides])
        for sides in ([one.left for one in groups], [one.right for one in groups])
    )
    return np.asarray((left * sigma[: len(left), None]).T @ right)


def adamix(task: Task, budget: Budget) -> Peer:
    """The lowest price of a bit that fits."""
    threshold = embedding_threshold(task, EMBEDDING_SHARE * budget)
    largest = max(float(one.sigma[0]) ** 2 for one in task.factors.values())

    def size(fineness: float) -> float:
        return float(measured(task, Mixed(task, largest / fineness, threshold).rounded()))

    fineness = fit(size, MARGIN * budget, low=1.0, high=1e7, tries=TRIES)
    return Mixed(task, largest / fineness, threshold).calibrated()
