"""GPTQ (Frantar et al. 2023, arXiv 2210.17323) of singular factors, as Delta-CoMe applies it.

Each quantised column leaves an error; the columns after it are updated so that the error of the
product over the inputs is least. With R the upper Cholesky factor of H⁻¹, column j's error
e = (w_j - ŵ_j)/R_jj is subtracted as W[:, j+1:] -= e ⊗ R[j, j+1:]. Columns are in the order of
falling diag H (act-order), and H is damped by a share of its mean diagonal.

First V: V̂ᵀ = GPTQ(Vᵀ; inputs x); then U: Û = GPTQ(U; inputs Σ V̂ᵀ x). All bit groups use the same
x, unlike in the authors' published code.
"""

from __future__ import annotations

import numpy as np

from skillpm.delta.codecs.shared.quantise import Quantised, dequantise, quantise
from skillpm.delta.codecs.svd import ColumnGroup, Columns, SingularFactors
from skillpm.delta.tensors.rounding import Floats

BLOCK = 128


def quantise_factors(
    factors: SingularFactors, columns: list[Columns], inputs: Floats, *, group: int, damping: float
) -> list[ColumnGroup]:
    """Quantise V then U against `inputs`, the mean outer product H [n, n] of a linear's input."""
    right = right_side(factors.right, columns, inputs, group=group, damping=damping)
    rank = sum(part.count for part in columns)
    seen = np.concatenate([dequantise(block, group) for block in right])
    scaled = factors.sigma[:rank, None] * seen
    inner = scaled @ inputs @ scaled.T
    left = left_side(factors.left[:, :rank], columns, inner, group=group, damping=damping)
    return [ColumnGroup(*three) for three in zip(columns, left, right, strict=True)]


def order_and_root(inputs: Floats, damping: float) -> tuple[np.ndarray, Floats]:
    """The act-order, and the upper Cholesky factor of the damped H⁻¹ in that order."""
    diagonal = np.diag(inputs).copy()
    order = np.argsort(-diagonal, kind="stable")
    damped = inputs[np.ix_(order, order)].copy()
    index = np.arange(order.size)
    dead = np.diag(damped) <= 0
    damped[index, index] += damping * max(diagonal.mean(), 1e-300)
    damped[dead, dead] = max(diagonal.mean(), 1e-300)
    inverse = np.linalg.inv(damped)
    return order, np.asarray(np.linalg.cholesky((inverse + inverse.T) / 2).T, dtype=np.float64)


def right_side(
    rows: Floats, columns: list[Columns], inputs: Floats, *, group: int, damping: float
) -> list[Quantised]:
    """Quantise Vᵀ [r, n] along n. Grids are those of the original rows (static groups).

    So act-order needs no index in the file, unlike with grids of permuted groups.
    """
    blocks: list[Quantised] = []
    start = 0
    for part in columns:
        blocks.append(
            quantise(rows[start : start + part.count].astype(np.float64), part.bits, group)
        )
        start += part.count
    tops = np.repeat([(1 << c.bits) - 1 for c in columns], [c.count for c in columns])
    scales = np.concatenate([block.scales for block in blocks]).astype(np.float64)
    zeros = np.concatenate([block.zeros for block in blocks]).astype(np.float64)
    order, root = order_and_root(inputs, damping)
    work = rows[:start, order].astype(np.float64)
    codes = np.empty((start, order.size), dtype=np.uint8)
    for first in range(0, order.size, BLOCK):
        last = min(first + BLOCK, order.size)
        errors = np.empty((start, last - first))
        for j in range(first, last):
            place = order[j] // min(group, order.size)
            scale, zero = scales[:, place], zeros[:, place]
            code = np.clip(np.rint(work[:, j] / scale) + zero, 0, tops)
            error = (work[:, j] - (code - zero) * scale) / root[j, j]
            work[:, j + 1 : last] -= np.outer(error, root[j, j + 1 : last])
            codes[:, order[j]] = code
            errors[:, j - first] = error
        work[:, last:] -= errors @ root[first:last, last:]
    cuts = np.cumsum([c.count for c in columns])[:-1]
    parts = np.split(codes, cuts)
    return [Quantised(c, b.scales, b.zeros) for c, b in zip(parts, blocks, strict=True)]


def left_side(
    matrix: Floats, columns: list[Columns], inputs: Floats, *, group: int, damping: float
) -> list[Quantised]:
    """Quantise U [m, r], one column after the other.

    Its groups run down a column: 128 rows of one singular vector share a grid, computed when the
    column is quantised. Groups along the rank, as in the authors' linear layers, would cost a scale
    per row for the few columns of a bit group: up to 24 bits per code at these widths.
    """
    bits = np.repeat([c.bits for c in columns], [c.count for c in columns])
    order, root = order_and_root(inputs, damping)
    work = matrix.astype(np.float64).copy()
    found: dict[int, Quantised] = {}
    for step, column in enumerate(order):
        one = quantise(work[None, :, column], int(bits[column]), group)
        error = (work[:, column] - dequantise(one, group)[0]) / root[step, step]
        later = order[step + 1 :]
        work[:, later] -= np.outer(error, root[step, step + 1 :])
        found[int(column)] = one
    blocks: list[Quantised] = []
    start = 0
    for part in columns:
        here = [found[column] for column in range(start, start + part.count)]
        blocks.append(
            Quantised(
                np.concatenate([one.codes for one in here]),
                np.concatenate([one.scales for one in here]),
                np.concatenate([one.zeros for one in here]),
            )
        )
        start += part.count
    return blocks
