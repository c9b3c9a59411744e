"""The matrices of a fine-tune, rounded and coded in several ways."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from skillpm.delta.auto.dense import code_grid
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.codecs.lossless_contexts import exponents_of
from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.encoding.schemes import Lossless
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.rounding import FORMATS, from_float64, to_float64
from skillpm.delta.tensors.streams import whole
from skillpm.delta.tensors.words import chunk_spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skillpm.checkpoint.model import Checkpoint
    from skillpm.delta.tensors.rounding import Floats
    from skillpm.delta.tensors.words import Words
    from skillpm.spec.dtypes import TensorSpec


@dataclass(frozen=True)
class Size:
    """Bytes, the squared error after the one rounding, and the decoded words."""

    size: int
    error: float
    words: Words


@dataclass(frozen=True)
class Matrix:
    """One matrix of the base and of the fine-tune."""

    spec: TensorSpec
    reference: Words
    tuned: Words

    @cached_property
    def before(self) -> Floats:
        """The values of the base [m · n]."""
        return to_float64(self.reference, self.spec.dtype)

    @cached_property
    def delta(self) -> Floats:
        """The fine-tune minus the base [m · n]."""
        return to_float64(self.tuned, self.spec.dtype) - self.before

    @property
    def energy(self) -> float:
        """The sum of the squares of the delta."""
        return float(np.square(self.delta).sum())

    def grid(
        self, step: float, *, exponents: bool = True, rows: torch.Tensor | None = None
    ) -> Size:
        """Code with `grid`, all entries with the same step, or by weights of rows [m]."""
        shape = (self.spec.shape[0], self.delta.size // self.spec.shape[0])
        metric = ErrorMetric.flat(shape, 1.0)
        if rows is not None:
            metric = ErrorMetric(MetricFactor(rows), metric.columns)
        values = torch.from_numpy(self.delta.reshape(shape)).float()
        coded = code_grid(values, metric, step, feedback=False)
        if coded is None:
            return Size(0, self.energy, self.reference)
        if exponents:
            coded = replace(coded, exponents=exponents_of(self.reference, self.spec.dtype))
        spool = io.BytesIO()
        coded.write(self.spec, PayloadWriter(spool))
        total = self.before + coded.decoded_delta().reshape(-1)
        decoded = from_float64(total, self.spec.dtype)[0]
        return Size(spool.tell(), self._lost(decoded), decoded)

    def lattice(self, step: float) -> Size:
        """Code exactly what is left if changes are multiples of the larger of ulp and step.

        A change of less than 0.57 steps is dropped, as in the dead zone of `grid`.
        """
        form = FORMATS[self.spec.dtype]
        octaves = np.frexp(self.before)[1] - form.precision
        ulps = np.ldexp(1.0, np.maximum(octaves, form.least_exponent - form.precision + 1))
        unit = np.maximum(ulps, step)
        offset = np.where(ulps < step, 0.43, 0.5)
        kept = np.sign(self.delta) * np.floor(np.abs(self.delta) / unit + offset) * unit
        tuned = from_float64(self.before + kept, self.spec.dtype)[0]
        return Size(self._exact(tuned), self._lost(tuned), tuned)

    def lossless(self) -> Size:
        """Code exactly."""
        return Size(self._exact(self.tuned), 0.0, self.tuned)

    def _exact(self, tuned: Words) -> int:
        spool = io.BytesIO()
        pair = Pair(self.spec.name, self.spec, self.spec)
        spans = [slice(*span) for span in chunk_spans(self.spec)]
        chunks = [(self.reference[span], tuned[span]) for span in spans]
        Lossless().encode(pair, chunks, PayloadWriter(spool))
        return spool.tell()

    def _lost(self, decoded: Words) -> float:
        missing = to_float64(decoded, self.spec.dtype) - to_float64(self.tuned, self.spec.dtype)
        return float(np.square(missing).sum())


def matrices(base: Checkpoint, tuned: Checkpoint) -> Iterator[Matrix]:
    """Yield the matrices that differ."""
    for name, spec in sorted(tuned.specs.items()):
        if len(spec.shape) < 2 or base.specs.get(name) != spec:
            continue
        reference, after = whole(base, spec), whole(tuned, spec)
        if (reference != after).any():
            yield Matrix(spec, reference, after)
