"""The `svd-ec+grid` codec: a low-rank part by `svd-ec`, plus its residual by `grid`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skillpm.delta.codecs import grid, svd_ec
from skillpm.delta.codecs.grid import CodedGrid
from skillpm.delta.codecs.shared.base import table
from skillpm.delta.codecs.shared.coded import Sections, join
from skillpm.delta.codecs.shared.delta_decoder import ReferenceDecoder
from skillpm.delta.codecs.shared.parts import put, sections_of
from skillpm.delta.codecs.shared.protocol import Codec
from skillpm.delta.codecs.svd_ec import CodedFactors
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.words import Words
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "svd-ec+grid"


@dataclass(frozen=True)
class CodedHybrid:
    """Δ̂ is the Δ̂ of the low-rank part plus that of the residual, added in this order."""

    low: CodedFactors
    rest: CodedGrid

    def estimate(self) -> float:
        """Estimate the bytes of the part, without encoding it."""
        return self.low.estimate() + self.rest.estimate()

    def decoded_delta(self) -> Floats:
        """Return the Δ̂ [m, n] that the decoder returns, bit for bit. Costs O(m·n·r)."""
        return self.low.decoded_delta() + self.rest.decoded_delta()

    def write(self, spec: TensorSpec, writer: PayloadWriter) -> Record:
        """Write factors and residual as the tensor's only part."""
        low, low_data = svd_ec.serialise(self.low)
        rest, rest_data = grid.serialise(self.rest, spec)
        record = Record(NAME, {"low": low, "rest": rest})
        return put(spec, record, join([low_data, rest_data]), writer)


class SvdEcGridDecoder(ReferenceDecoder):
    """Decodes Δ̂ chunk by chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if len(spec.shape) < 2 or not spec.elements:  # noqa: PLR2004 - a matrix has two
            raise IntegrityError(
                f"`{spec.name}` is not a matrix, so codec `{NAME}` cannot encode it"
            )
        low, rest = table(settings, "low"), table(settings, "rest")
        super().__init__(spec)
        sections = sections_of(spec, reader)
        what = f"`{spec.name}`"
        self._low = svd_ec.product_of(spec, low, Sections(sections.next(), what))
        self._rest = grid.DecodedGrid(spec, rest, Sections(sections.next(), what))
        sections.close()

    @property
    def _needs_reference(self) -> bool:
        return self._rest.needs_reference

    def _delta(self, chunk: int, reference: Words | None) -> Floats:
        return self._low.flat(*self._spans[chunk]) + self._rest.chunk(chunk, reference)


CODEC = Codec(NAME, SvdEcGridDecoder)
