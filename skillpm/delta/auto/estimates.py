"""Estimates of the bytes and the distortion of a tensor at a step, for each codec family.

Nothing is encoded and nothing is refitted: sizes follow from counts of a sample (`magnitudes`),
distortions from the singular values and from the sums of the same counts.
"""

from dataclasses import dataclass
from math import ceil, log2
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from skillpm.delta.auto.deadzone import dead_zone
from skillpm.delta.auto.magnitudes import SINGLES, Buckets, Classes, SortedMagnitudes
from skillpm.delta.auto.profile import SAMPLE, RowSums, Spectrum
from skillpm.delta.auto.rows import RowBlock
from skillpm.delta.auto.strata import Strata, classes_of, stratify
from skillpm.delta.codecs.grid import LEVELS
from skillpm.delta.codecs.shared.estimate import steps_bits
from skillpm.delta.codecs.shared.octaves import upper_end
from skillpm.delta.tensors.rounding import Floats

PER_OCTAVE = 2
"""Steps of the survey in an octave: the step of index i is 2^(i / PER_OCTAVE)."""
FACTOR_CUT = -2
"""`svd-ec` keeps the singular values above 2^(FACTOR_CUT / PER_OCTAVE) steps."""
HYBRID_CUT = 3
"""The low-rank part of `svd-ec+grid` keeps those above 2^(HYBRID_CUT / PER_OCTAVE) steps."""
RANK_STEPS = 128
"""Steps of a coefficient of a rank in an octave."""
_OCTAVES = 8
_SINGLES = np.arange(SINGLES + 1, dtype=np.float64)


def step_of(index: int) -> float:
    """Return the step of an index."""
    return float(2.0 ** (index / PER_OCTAVE))


@dataclass(frozen=True)
class Estimate:
    """Estimated bits and distortion. `seen` is the number of integers other than zero."""

    bits: float
    distortion: float
    seen: float = 1.0


@dataclass(frozen=True)
class DenseScales:
    """The scales of the sampled rows [k] and of all columns [n], and the energies of columns [n].

    In units of the scales, all entries of a grid have the same step. `energy` is D(Δ).
    """

    rows: torch.Tensor
    columns: torch.Tensor
    energies: Floats
    energy: float

    @classmethod
    def of(
        cls,
        scales: tuple[torch.Tensor, torch.Tensor],
        sums: RowSums,
        strata: Strata,
        energy: float,
    ) -> Self:
        """Return the scales of a matrix and its sample, from `dense_scales`."""
        rows, columns = scales
        if len(rows) > 1:
            rows = rows[torch.from_numpy(strata.rows).to(rows.device)]
        return cls(rows, columns, sums.columns, energy)


def octaves_of(sample: RowBlock, dtype: str) -> Classes:
    """Return the octave [k, n] of the reference's exponents, as `codecs.grid_contexts` does."""
    exponents = sample.exponents(dtype)
    anchor = upper_end(exponents)
    below = np.clip(anchor - exponents.astype(np.int32), 0, _OCTAVES - 1)
    return below.reshape(sample.reference.shape)


class DenseEstimate:
    """Estimates `grid` from sampled rows [k, n] of a delta, and `octaves_of` their reference."""

    def __init__(
        self,
        sample: torch.Tensor,
        strata: Strata,
        scales: DenseScales,
        octaves: Classes | None = None,
    ) -> None:
        self._strata = strata
        self._energy = scales.energy
        squares = scales.energies * scales.columns.double().square().cpu().numpy()
        classes = classes_of(np.sqrt(squares))
        self._column_bits = steps_bits(classes)
        values = (sample * scales.rows[:, None] * scales.columns).cpu().numpy()
        self._magnitudes = SortedMagnitudes(values, strata.classes, classes, strata.weights)
        self._by_octave = None
        if octaves is not None:
            self._by_octave = SortedMagnitudes(values, strata.classes, octaves, strata.weights)

    @property
    def largest(self) -> float:
        """The largest magnitude of the sample."""
        return self._magnitudes.largest

    def at(self, index: int) -> Estimate:
        """Return the estimate at a step, with centroids as levels.

        Rounding shrinks the delta by a factor g and adds noise that is not correlated with it. A
        full factor of the metric weights the first like the delta, the second by its diagonal.
        """
        step = step_of(index)
        buckets = self._magnitudes.at(step)
        row_bits = self._strata.class_bits
        bits = buckets.bits(row_bits, self._column_bits)
        if self._by_octave is not None:
            bits = min(bits, self._by_octave.at(step).octave_bits(row_bits))
        error, whole = _dense_error(buckets, step), float(buckets.squares.sum())
        lost = min(1.0, error / whole) if whole else 1.0
        distortion = lost**2 * self._energy + max(0.0, error - lost**2 * whole)
        return Estimate(bits, distortion, float(buckets.counts[:, :, 1:].sum()))


def _dense_error(buckets: Buckets, step: float) -> float:
    """Return the squared error under levels that are centroids of the small magnitudes."""
    counts, sums, squares = (
        each.sum(axis=(0, 1)) for each in (buckets.counts, buckets.sums, buckets.squares)
    )
    singles = min(counts.size, SINGLES + 1)
    levels = _SINGLES[:singles] * step
    inner = slice(1, min(singles, LEVELS + 1))
    means = sums[inner] / np.maximum(counts[inner], 1e-30)
    seen = counts[inner] > 0
    near = np.clip(means, levels[inner] - 0.5 * step, levels[inner] + 0.5 * step)
    levels[inner] = np.where(seen, near, levels[inner])
    if singles > LEVELS + 1:
        levels[LEVELS + 1 :] += levels[LEVELS] - LEVELS * step
    exact = squares[:singles] - 2 * levels * sums[:singles] + np.square(levels) * counts[:singles]
    return float(np.maximum(exact, 0.0).sum()) + float(counts[singles:].sum()) * step**2 / 12


class FactorEstimate:
    """Estimates `svd-ec`, and the low-rank part of `svd-ec+grid`, from a spectrum.

    Columns of the factors are classed by octaves of their singular values.
    """

    def __init__(self, spectrum: Spectrum) -> None:
        self.spectrum = spectrum
        sigma = spectrum.sigma.double().cpu().numpy()
        octaves = np.ceil(PER_OCTAVE * np.log2(sigma)).astype(np.int32)
        self._lowest = int(octaves.min())
        self._classes = octaves - self._lowest
        self._counts = np.bincount(self._classes).astype(np.float64)
        self._squares = np.bincount(self._classes, weights=np.square(sigma))
        self._top = float(sigma[0])
        self._sides = [
            _FactorSide(vectors, scale.spread, self._classes)
            for vectors, scale in (
                (spectrum.left, spectrum.row_scale),
                (spectrum.right, spectrum.column_scale),
            )
        ]

    @property
    def top(self) -> int:
        """The coarsest index at which a singular value is kept."""
        return self._lowest + self._counts.size - 1 - FACTOR_CUT

    def kept(self, index: int, cut: int) -> int:
        """Return the number of singular values that are kept at a step."""
        return int(self._counts[self._used(index, cut)].sum())

    def _used(self, index: int, cut: int) -> npt.NDArray[np.bool_]:
        used: npt.NDArray[np.bool_] = np.arange(self._counts.size) + self._lowest > index + cut
        return used

    def at(self, index: int, cut: int = FACTOR_CUT) -> Estimate:
        """Return the estimate at a step."""
        used, step = self._used(index, cut), step_of(index)
        kept = self._counts[used].sum()
        octaves = max(0.0, log2(self._top / step) - cut / PER_OCTAVE)
        bits = kept * (1.5 + log2(1 + RANK_STEPS * octaves / max(1.0, kept)))
        share = np.ones(int(used.sum()))
        means = self._squares[used] / np.maximum(self._counts[used], 1.0)
        both = [side.magnitudes.at(step).columns(used) for side in self._sides]
        seen = [_share_used(buckets, self._counts[used]) for buckets in both]
        for side, buckets, own, other in zip(self._sides, both, seen, seen[::-1], strict=True):
            bits += buckets.without_zero_columns(own, other).bits(side.row_bits, float(kept))
            share *= side.alignment(buckets, step, means)
        lost = max(
            0.0, self.spectrum.energy - float(self._squares.sum())
        )  # of tiny singular values
        lost += float(self._squares[~used].sum() + (1.0 - share) @ self._squares[used])
        return Estimate(float(bits), lost, float(kept))


def _share_used(buckets: Buckets, columns: Floats) -> Floats:
    """Return the share of the columns of each class that have an entry other than zero."""
    entries = buckets.counts[:, :, 1:].sum(axis=(0, 2))
    shares: Floats = -np.expm1(-entries / np.maximum(columns, 1.0))
    return shares


class _FactorSide:
    """One factor [d, r], sampled and sorted by classes of its rows and of its singular values."""

    def __init__(self, vectors: torch.Tensor, spread: float, classes: Classes) -> None:
        magnitudes = vectors.square().sum(1).sqrt().double().cpu().numpy()
        strata = stratify(magnitudes, max(1, SAMPLE // vectors.shape[1]))
        self._spread = spread
        self.row_bits = strata.class_bits
        self.magnitudes = SortedMagnitudes(
            vectors[torch.from_numpy(strata.rows).to(vectors.device)].cpu().numpy(),
            strata.classes,
            classes,
            strata.weights,
            stride=PER_OCTAVE,
        )

    def alignment(self, buckets: Buckets, step: float, means: Floats) -> Floats:
        """Return cos² of the angle between vectors and rounded vectors, by class of σ.

        A rounded vector is a multiple of the vector plus an error that is white in the side's
        units. `means` [classes] are the means of σ².
        """
        counts, sums, squares = (
            each.sum(axis=0) for each in (buckets.counts, buckets.sums, buckets.squares)
        )
        singles = min(counts.shape[1], SINGLES + 1)
        levels = _SINGLES[:singles] * step
        wide = squares[:, singles:].sum(axis=1)
        product = sums[:, :singles] @ levels + wide
        square = counts[:, :singles] @ np.square(levels) + wide
        whole = np.maximum(squares.sum(axis=1), 1e-300)
        noise = np.maximum(square - np.square(product) / whole, 0.0)
        noise += counts[:, singles:].sum(axis=1) * step**2 / 12
        noise *= self._spread / np.maximum(counts.sum(axis=1), 1.0)
        signal = np.square(product / whole) * means
        cosines: Floats = signal / np.maximum(signal + noise, 1e-300)
        return cosines


def hybrid_sample(
    sample: torch.Tensor, factors: FactorEstimate, strata: Strata, index: int
) -> torch.Tensor:
    """Return what the rounded low-rank part leaves of sampled rows [k, n] of a delta."""
    spectrum, step = factors.spectrum, step_of(index)
    kept = factors.kept(index, HYBRID_CUT)
    rows = torch.from_numpy(strata.rows).to(sample.device)
    left, left_fit = _rounded(spectrum.left[rows, :kept], strata.row_weights, step)
    right, right_fit = _rounded(spectrum.right[:, :kept], np.ones(1), step)
    left *= left_fit * right_fit / spectrum.sigma[:kept]
    left /= spectrum.row_scale.values[rows, None]
    right /= spectrum.column_scale.values[:, None]
    return sample - left @ right.T


def _rounded(
    vectors: torch.Tensor, weights: Floats, step: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rounded vectors [d, r], and the coefficient [r] by which each is nearest."""
    rounded = dead_zone(vectors / step) * step
    weighted = rounded * torch.from_numpy(weights).float().to(rounded.device)[:, None]
    squares = (weighted * rounded).sum(0)
    return rounded, (weighted * vectors).sum(0) / squares.clamp_min(1e-30)


def top_index(step: float) -> int:
    """Return the index of the least step that is at least `step`."""
    return ceil(PER_OCTAVE * log2(step))
