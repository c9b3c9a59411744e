"""The `svd-ec+grid` codec: a low-rank part, and its residual on a grid; the sum of two codecs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skillpm.delta.bits import chunk_spans
from skillpm.delta.codecs import factors, grid
from skillpm.delta.codecs.base import table
from skillpm.delta.codecs.coded import Sections, join
from skillpm.delta.codecs.factors import CodedFactors
from skillpm.delta.codecs.grid import CodedGrid
from skillpm.delta.codecs.parts import put, sections_of
from skillpm.delta.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.rounding import Floats
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "svd-ec+grid"


@dataclass(frozen=True)
class CodedHybrid:
    """Δ̂ = the factors' + the residual's, added in this order."""

    low: CodedFactors
    rest: CodedGrid

    def bits(self) -> float:
        """About the bits that it takes, without encoding it."""
        return self.low.bits() + self.rest.bits()


def delta_of(spec: TensorSpec, coded: CodedHybrid) -> Floats:
    """What a decoder will give, flat."""
    return factors.delta_of(spec, coded.low) + grid.delta_of(coded.rest).reshape(-1)


def encode(spec: TensorSpec, coded: CodedHybrid, writer: PayloadWriter) -> Record:
    """Write both."""
    low, low_data = factors.serialise(coded.low)
    rest, rest_data = grid.serialise(coded.rest)
    record = Record(NAME, {"low": low, "rest": rest})
    return put(spec, record, join([low_data, rest_data]), writer)


class Decoder:
    """Gives Δ̂ chunk by chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if len(spec.shape) < 2 or not spec.elements:  # noqa: PLR2004 - a matrix has two
            raise IntegrityError(f"`{spec.name}` is no matrix: it has no singular factors")
        low, rest = table(settings, "low"), table(settings, "rest")
        self._spans = chunk_spans(spec)
        sections = sections_of(spec, reader)
        what = f"`{spec.name}`"
        self._low = factors.product_of(spec, low, Sections(sections.next(), what))
        self._rest = grid.Grid(spec, rest, Sections(sections.next(), what))
        sections.close()

    def delta(self, chunk: int) -> Floats:
        """The decoded delta of one chunk."""
        span = self._spans[chunk]
        return self._low.flat(*span) + self._rest.flat(*span)
