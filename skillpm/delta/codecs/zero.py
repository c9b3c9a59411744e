"""The `zero` codec: a delta that is not worth its bytes. Bound: ‖E‖ = ‖Δ‖."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from skillpm.delta.bits import chunk_spans
from skillpm.delta.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.rounding import Floats
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "zero"


def encode(spec: TensorSpec, writer: PayloadWriter) -> Record:
    """A record without parts."""
    record = Record(NAME, {})
    writer.describe(spec.name, record)
    return record


class Decoder:
    """Gives zeros."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if settings:
            raise IntegrityError(f"`{spec.name}`: the codec `zero` has no settings")
        reader.expect_parts(spec.name, set())
        self._spans = chunk_spans(spec)

    def delta(self, chunk: int) -> Floats:
        """The zeros of one chunk."""
        start, stop = self._spans[chunk]
        return np.zeros(stop - start)
