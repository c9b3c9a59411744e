"""What a survey needs to know of one tensor's delta: energies of rows, a sample, the spectrum."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.auto.strata import Strata, stratify
from skillpm.delta.tensors.rounding import Floats

SAMPLE = 1 << 17
"""Entries of a matrix, or of a factor, that a survey sorts."""
LEAST, GREATEST = 2.0**-60, 2.0**60
"""A delta whose largest entry is outside this range is stored exactly."""
LONGEST_FEEDBACK = 8192
"""Sides longer than this are rounded without error feedback, which works column by column."""


@dataclass(frozen=True)
class Scale:
    """The scales of one side [d] in which all entries of a singular factor have the same step.

    `spread` is the sum of the weights of the side's errors in these units.
    """

    values: torch.Tensor
    spread: float

    @classmethod
    def of(cls, side: MetricFactor, length: int, *, feedback: bool) -> "Scale":
        """Return the scale of a side with `length` coordinates.

        With feedback, the weight of a coordinate is what remains after others compensate its error,
        and the step is that of their geometric mean.
        """
        if side.factor.ndim == 1:
            return cls(side.factor.sqrt().expand(length), float(length))
        weights = side.upper.diagonal().square() if feedback else side.diagonal
        mean = weights.log().mean().exp() if feedback else weights.mean()
        return cls(mean.sqrt().expand(length), float(weights.sum() / mean))


def has_feedback(shape: Iterable[int]) -> bool:
    """Whether a matrix is rounded with error feedback if its metric has a full factor."""
    return max(shape) <= LONGEST_FEEDBACK


def dense_scales(metric: ErrorMetric, *, feedback: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scales of rows and columns in which all entries of a grid have the same step."""
    columns = metric.columns
    if feedback and columns.factor.ndim > 1:
        return metric.rows.diagonal.sqrt(), columns.upper.diagonal()
    return metric.rows.diagonal.sqrt(), columns.diagonal.sqrt()


@dataclass(frozen=True)
class RowSums:
    """Sums over the entries of each row [m] and column [n] of a delta, weighted by the metric.

    `sizes` [m] are of |δ|, `squares` [m] of δ², both weighted by the columns. `columns` [n] are of
    δ², weighted by the rows. `weight` is the sum of the columns' weights, `rows` [m] are the rows'.
    `energy` is D(Δ) unless the rows' factor is full, and `largest` the largest |δ|.
    """

    sizes: Floats
    squares: Floats
    columns: Floats
    weight: float
    rows: Floats
    energy: float
    largest: float

    @classmethod
    def of(cls, blocks: Iterable[torch.Tensor], metric: ErrorMetric) -> "RowSums":
        """Sum over blocks of whole rows [k, n], in order."""
        columns, rows = metric.columns, metric.rows.diagonal
        sizes, squares = list[torch.Tensor](), list[torch.Tensor]()
        by_column = torch.zeros_like(columns.diagonal, dtype=torch.float64)
        energy, largest, first = 0.0, 0.0, 0
        for block in blocks:
            size, square = block.abs(), block.square()
            weights = rows[first : first + len(block)] if len(rows) > 1 else rows
            weights = weights.expand(len(block))
            sizes.append(size @ columns.diagonal)
            squares.append(square @ columns.diagonal)
            by_column += weights @ square
            energies = squares[-1]
            if columns.factor.ndim > 1:
                energies = ((block @ columns.factor) * block).sum(1)
            energy += float(weights.double() @ energies.double())
            top = float(size.max())
            largest = top if not top <= largest else largest  # NaN stays
            first += len(block)
        return cls(
            torch.cat(sizes).double().cpu().numpy(),
            torch.cat(squares).double().cpu().numpy(),
            by_column.cpu().numpy(),
            float(columns.diagonal.double().sum()),
            rows.double().expand(first).cpu().numpy(),
            energy,
            largest,
        )

    @property
    def is_codable(self) -> bool:
        """Whether the delta is finite and not zero, and its squares fit float32."""
        return LEAST < self.largest < GREATEST

    @cached_property
    def diagonal_energy(self) -> float:
        """The sum of squares of all entries, weighted by the diagonals of the metric."""
        return float(self.rows @ self.squares)

    @cached_property
    def sign_error(self) -> float | None:
        """The weighted squared error of ± one scale for each row; None if a row is zero."""
        if not (self.sizes > 0).all():
            return None
        return float(self.rows @ (self.squares - np.square(self.sizes) / self.weight))

    def strata(self) -> Strata:
        """Return a sample of the rows."""
        magnitudes = np.sqrt(self.rows * self.squares)
        return stratify(magnitudes, max(1, SAMPLE // self.columns.size))


@dataclass(frozen=True)
class Spectrum:
    """Singular values [r] of the whitened delta, and its vectors times them.

    `left` [m, r] and `right` [n, r] are in units in which all entries have the same step;
    `row_scale` and `column_scale` convert to them. `energy` is D(Δ).
    """

    sigma: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    row_scale: Scale
    column_scale: Scale
    energy: float

    @classmethod
    def of(cls, delta: torch.Tensor, metric: ErrorMetric) -> "Spectrum":
        """Decompose a delta [m, n] that is not zero. Costs O(m·n·min(m, n))."""
        return cls.of_batch([(delta, metric)])[0]

    @classmethod
    def of_batch(cls, tensors: Sequence[tuple[torch.Tensor, ErrorMetric]]) -> "list[Spectrum]":
        """Decompose deltas of one shape [m, n], none of them zero, at once."""
        whitened = [
            metric.columns.whiten(metric.rows.whiten(delta).T).T for delta, metric in tensors
        ]
        vectors = scaled_vectors_of(whitened)
        return [
            cls._placed(matrix, metric, scaled)
            for matrix, (_, metric), scaled in zip(whitened, tensors, vectors, strict=True)
        ]

    @classmethod
    def _placed(
        cls, whitened: torch.Tensor, metric: ErrorMetric, vectors: "ScaledVectors"
    ) -> "Spectrum":
        """Return the spectrum of a whitened delta [m, n] from its vectors."""
        energy = float(whitened.square().sum(dtype=torch.float64))
        left, sigma, right = vectors
        feedback = has_feedback(whitened.shape)
        rows = Scale.of(metric.rows, whitened.shape[0], feedback=feedback)
        columns = Scale.of(metric.columns, whitened.shape[1], feedback=feedback)
        left = _placed(left, metric.rows, rows)
        return cls(sigma, left, _placed(right, metric.columns, columns), rows, columns, energy)


def _placed(vectors: torch.Tensor, side: MetricFactor, scale: Scale) -> torch.Tensor:
    """Return whitened vectors [d, r] in the units in which a factor is rounded."""
    if side.factor.ndim == 1:
        return vectors
    return side.unwhiten(vectors) * scale.values[:, None]


ScaledVectors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def scaled_vectors(matrix: torch.Tensor) -> ScaledVectors:
    """Return U·S [m, r], S [r] and V·S [n, r] of the thin SVD, from the shorter Gram matrix."""
    return scaled_vectors_of([matrix])[0]


def scaled_vectors_of(matrices: Sequence[torch.Tensor]) -> list[ScaledVectors]:
    """Return U·S, S and V·S of several matrices of one shape, decomposed by one call."""
    tall = matrices[0].shape[0] >= matrices[0].shape[1]
    narrow = [matrix if tall else matrix.T for matrix in matrices]
    grams = torch.stack([matrix.T @ matrix for matrix in narrow])
    values, vectors = torch.linalg.eigh(grams)
    return [_scaled(*each, tall=tall) for each in zip(narrow, values, vectors, strict=True)]


def _scaled(
    narrow: torch.Tensor, values: torch.Tensor, vectors: torch.Tensor, *, tall: bool
) -> ScaledVectors:
    """Return U·S, S and V·S from the eigenvalues and the eigenvectors of a Gram matrix."""
    sigma = values.flip(0).clamp_min(0).sqrt()
    kept = sigma > sigma[0] * LEAST_SIGMA if len(sigma) else sigma > 0
    sigma, vectors = sigma[kept], vectors.flip(1)[:, kept]
    opposite, scaled = narrow @ vectors, vectors * sigma
    return (opposite, sigma, scaled) if tall else (scaled, sigma, opposite)


LEAST_SIGMA = 3e-4
"""A Gram matrix squares the range, so smaller singular values, relative to the largest, are
inaccurate. They are dropped: that is far below any step with which a lossy pack rounds."""
