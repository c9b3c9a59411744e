"""Encodes a tensor by a choice: rounds it with its step, under the metric, as the codec stores it.

Under a full metric, rounding feeds its errors back (GPTQ), unless a side is longer than
`LONGEST_FEEDBACK`. A grid does so only if the delta is not `on_lattice` (ADR 41).
"""

from dataclasses import replace

import numpy as np
import torch

from skillpm.delta.auto.dense import GridCoder, code_grid, code_signs
from skillpm.delta.auto.estimates import HYBRID_CUT, PER_OCTAVE
from skillpm.delta.auto.factored import WhitenedDelta, code_factors
from skillpm.delta.auto.lattice import on_lattice, ulps_of
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.auto.points import EncodingChoice
from skillpm.delta.auto.profile import has_feedback
from skillpm.delta.auto.rows import TensorRows, is_large
from skillpm.delta.codecs.grid import CodedGrid, rows_of
from skillpm.delta.codecs.shared.protocol import CodedTensor
from skillpm.delta.codecs.svd_ec import CodedFactors
from skillpm.delta.codecs.svd_ec_grid import CodedHybrid

HYBRID_THRESHOLD = 2.0 ** (HYBRID_CUT / PER_OCTAVE)
"""`svd-ec+grid` keeps the singular values above this many steps in its low-rank part."""


def encode_choice(
    rows: TensorRows, metric: ErrorMetric, choice: EncodingChoice, *, feedback: bool = True
) -> CodedTensor | None:
    """Return the coded tensor; None if all of it rounds to zero.

    A tensor that is large can only be a `grid`. Rounding feeds its errors back if `feedback`, that
    of entries only if the delta is not `on_lattice`. Costs an SVD, O(m·n·min(m, n)), for a low-rank
    family. Must not be called for `lossless`.
    """
    if choice.family == "zero":
        return None
    if is_large(rows.spec):
        return _large_grid(rows, metric, choice.step)
    (block,), dtype = rows.blocks(), rows.spec.dtype
    delta, exponents = rows.delta(block), block.exponents(dtype)
    ulps = rows.device.place(ulps_of(exponents, dtype)).reshape(delta.shape)
    metric = metric.on(rows.device)
    feedback = feedback and has_feedback(delta.shape)
    grid_feedback = feedback and not on_lattice(delta)
    if choice.family == "grid":
        coded = code_grid(delta, metric, choice.step, feedback=grid_feedback, ulps=ulps)
        return coded and replace(coded, exponents=exponents)
    if choice.family == "sign":
        return code_signs(delta, metric)
    whitened = WhitenedDelta.of(delta, metric)
    if choice.family == "svd-ec":
        return code_factors(whitened, choice.step, feedback=feedback)
    hybrid = _hybrid(whitened, choice.step, feedback=grid_feedback, ulps=ulps)
    return hybrid and replace(hybrid, rest=replace(hybrid.rest, exponents=exponents))


def _hybrid(
    whitened: WhitenedDelta, step: float, *, feedback: bool, ulps: torch.Tensor
) -> CodedHybrid | None:
    kept = whitened.truncate(HYBRID_THRESHOLD * step)
    low_rank = code_factors(kept, step, feedback=feedback) if kept is not None else None
    if low_rank is None:
        return None
    rest = whitened.delta - _decoded(low_rank, whitened.delta.device)
    residual = code_grid(rest, whitened.metric, step, feedback=feedback, ulps=ulps)
    return None if residual is None else CodedHybrid(low_rank, residual)


def _decoded(coded: CodedFactors, device: torch.device) -> torch.Tensor:
    """Return the delta [m, n] of factors: exact on the CPU, a product in float32 elsewhere."""
    if device.type == "cpu":
        return torch.from_numpy(coded.decoded_delta()).float()
    left, right = (torch.from_numpy(side).float().to(device) for side in coded.scaled_factors())
    return left @ right


def _large_grid(rows: TensorRows, metric: ErrorMetric, step: float) -> CodedGrid | None:
    """Code a large tensor block by block. Holds its integers and exponents in memory."""
    placed = metric.on(rows.device)
    diagonal = ErrorMetric(MetricFactor(placed.rows.diagonal), placed.columns)
    coder, dtype = GridCoder(rows_of(rows.spec), diagonal, step), rows.spec.dtype
    exponents = np.empty(rows.spec.elements, dtype=np.uint8)
    width = rows_of(rows.spec)[1]
    for block in rows.blocks():
        start, delta = block.first * width, rows.delta(block)
        within = exponents[start : start + block.tuned.size]
        within[:] = block.exponents(dtype)
        coder.add(
            block.first, delta, rows.device.place(ulps_of(within, dtype)).reshape(delta.shape)
        )
    coded = coder.coded()
    return coded and replace(coded, exponents=exponents)
