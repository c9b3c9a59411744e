"""What dependent quantisation saves of singular factors, at equal distortion.

`python -m benchmarks.ablation.dependent BASE TUNED [--tensors NAME,…] [--steps 1,2]`. The
factors of a few matrices are rounded with the dead zone of `svd-ec`, and by a trellis of eight
states. Bits are the entropy under one context for each octave of columns, and for each quantiser.
The bytes of the trellis are compared with those of the dead zone at the same squared error, between
whose steps they are interpolated. A step is a share of 1 / 16 of ‖Δ‖ / √max(m, n).
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.ablation import trellis
from benchmarks.ablation.matrices import matrices
from benchmarks.tools.table import Table, add_output, publish
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.auto.deadzone import dead_zone
from skillpm.delta.auto.factored import WhitenedDelta
from skillpm.delta.auto.metric import ErrorMetric

if TYPE_CHECKING:
    from benchmarks.ablation.trellis import Floats, Ints

TENSORS = "model.layers.15.self_attn.q_proj.weight"
ROUNDS = 3
"""Times that the trellis is searched with the bits of the last result."""
FINENESS = 1.8
"""Steps of the trellis in a step of the dead zone: about the same error at high rates."""
PRICE = 0.36
"""Squared steps of the trellis that a bit is worth: the slope of its error over bits."""
Point = tuple[float, float]
"""Bits and squared error."""


def classes_of(values: Floats) -> Ints:
    """The octave of the mean magnitude of each column, from 0."""
    octaves: Ints = np.rint(np.log2(np.abs(values).mean(0))).astype(np.int64)
    octaves -= octaves.min()
    return octaves


def scalar(values: Floats) -> Point:
    """The dead zone of `svd-ec`, of columns [d, r] in steps."""
    levels = dead_zone(torch.from_numpy(values)).numpy().astype(np.int64)
    _, bits = trellis.level_bits(levels, np.zeros_like(levels), classes_of(values))
    return bits, float(np.square(values - levels).sum())


def dependent(values: Floats) -> Point:
    """The trellis, of columns [d, r] in steps of the dead zone."""
    fine, classes = values * FINENESS, classes_of(values)
    coded = trellis.decode(np.rint(fine / 2).astype(np.int64))
    for _ in range(ROUNDS):
        bits, _ = trellis.level_bits(coded.levels, coded.quantisers, classes)
        coded = trellis.encode(fine, bits, classes, PRICE)
    _, total = trellis.level_bits(coded.levels, coded.quantisers, classes)
    return total, float(np.square(fine - coded.values).sum()) / FINENESS**2


def bits_at(points: list[Point], error: float) -> float:
    """The bits of a curve at a squared error: bits are linear in its logarithm between points."""
    for (bits, low), (fewer, high) in pairwise(sorted(points, key=lambda point: point[1])):
        if low <= error <= high:
            share = np.log(error / low) / np.log(high / low)
            return float(bits + share * (fewer - bits))
    return float("nan")


def curve_point(sides: list[Floats], finer: float) -> Point:
    """The dead zone with a smaller step, of both factors; the error is in the old steps."""
    bits, error = np.sum([scalar(side * finer) for side in sides], axis=0)
    return float(bits), float(error) / finer**2


def factors_of(delta: torch.Tensor, step: float) -> list[Floats]:
    """Both factors [d, r] of a delta, with entries in steps: an error of each has equal weight."""
    whitened = WhitenedDelta.of(delta, ErrorMetric.flat((delta.shape[0], delta.shape[1]), 1.0))
    kept = whitened.sigma > step / 2
    scale = whitened.sigma[kept] / step
    sides = (whitened.left[:, kept], whitened.right[:, kept])
    return [(side * scale).double().numpy() for side in sides]


def row(delta: torch.Tensor, step: float) -> tuple[int, float, float]:
    """The rank at a step, bits per entry, and the share of bytes that the trellis leaves."""
    sides = factors_of(delta, step)
    line = [curve_point(sides, finer) for finer in 2.0 ** np.arange(-1, 1.25, 0.25)]
    bits, error = np.sum([dependent(side) for side in sides], axis=0)
    entries = sum(side.size for side in sides)
    return sides[0].shape[1], bits / entries, bits / bits_at(line, error)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation.dependent", description=__doc__
    )
    parser.add_argument("base", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("--tensors", default=TENSORS)
    parser.add_argument("--steps", default="1,2")
    add_output(parser)
    arguments = parser.parse_args()
    names = arguments.tensors.split(",")
    table = Table(
        "Factors by a trellis of eight states, at the error of the dead zone",
        ("tensor", "step", "rank", "bits of an entry", "trellis to dead zone"),
    )
    for matrix in matrices(open_checkpoint(arguments.base), open_checkpoint(arguments.tuned)):
        if matrix.spec.name in names:
            delta = torch.from_numpy(matrix.delta.reshape(matrix.spec.shape)).float()
            unit = float(delta.norm()) / max(delta.shape) ** 0.5
            for step in map(float, arguments.steps.split(",")):
                rank, bits, share = row(delta, step * unit / 16)
                table.row(matrix.spec.name, f"{step:g}", rank, f"{bits:.2f}", f"{share:.3f}")
    publish(table, arguments.append)


if __name__ == "__main__":
    main()
