"""The `zero` codec: drops a delta that is not worth its bytes. Error: ‖Δ - Δ̂‖ = ‖Δ‖."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from skillpm.delta.codecs.shared.delta_decoder import DeltaDecoder
from skillpm.delta.codecs.shared.forms import NoChange
from skillpm.delta.codecs.shared.protocol import Codec
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.words import Words
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "zero"


def encode(spec: TensorSpec, writer: PayloadWriter) -> Record:
    """Write a record without parts."""
    record = Record(NAME, {})
    writer.describe(spec.name, record)
    return record


class ZeroDecoder(DeltaDecoder):
    """Returns the reference bit for bit; a sum would turn -0.0 into 0.0."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if settings:
            raise IntegrityError(f"`{spec.name}`: the codec `zero` has no settings")
        reader.expect_parts(spec.name, set())
        super().__init__(spec)

    def _chunk_delta(self, chunk: int) -> Floats:
        start, stop = self._spans[chunk]
        return np.zeros(stop - start)

    def decode_chunk(self, chunk: int, reference: Words, delta: Floats | None = None) -> Words:  # noqa: ARG002 - codecs share a signature
        """Return the reference's words."""
        return reference

    def live_form(self) -> NoChange:
        """Return the form that adds nothing."""
        return NoChange()


CODEC = Codec(NAME, ZeroDecoder, known_error=1.0)
