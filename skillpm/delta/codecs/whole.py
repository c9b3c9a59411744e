"""The `whole` codec: a tensor stored as it is; for tensors the base lacks and sub-byte dtypes."""

from collections.abc import Mapping
from typing import Any

from skillpm.delta.codecs.shared.base import put_planes, read_planes
from skillpm.delta.codecs.shared.protocol import Codec
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.words import Words, chunk_spans, from_planes, planes_of
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "whole"


class WholeEncoder:
    """Encodes one tensor, chunk by chunk in order; `close` returns the record."""

    def __init__(self, spec: TensorSpec, writer: PayloadWriter) -> None:
        self._spec = spec
        self._writer = writer
        self._chunks = 0

    def chunk(self, reference: Words, tuned: Words) -> None:  # noqa: ARG002 - codecs share a signature
        """Encode the next chunk; the reference is not used."""
        put_planes(self._writer, self._spec.name, f"{self._chunks}p", planes_of(tuned))
        self._chunks += 1

    def close(self) -> Record:
        """Write the record of all chunks and return it."""
        record = Record(NAME, {})
        self._writer.describe(self._spec.name, record)
        return record


class WholeDecoder:
    """A `TensorDecoder` that returns the stored words; the reference is not used."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if settings:
            raise IntegrityError(f"`{spec.name}`: the codec `whole` has no settings")
        self._spec = spec
        self._reader = reader
        self._spans = chunk_spans(spec)
        planes = range(spec.itemsize)
        reader.expect_parts(
            spec.name,
            {f"{number}p{plane}" for number in range(len(self._spans)) for plane in planes},
        )

    def decode_chunk(self, chunk: int, reference: Words, delta: Floats | None = None) -> Words:  # noqa: ARG002 - codecs share a signature
        """Return the words [n] of one chunk."""
        start, stop = self._spans[chunk]
        planes, size = self._spec.itemsize, stop - start
        return from_planes(
            read_planes(self._reader, self._spec.name, f"{chunk}p", planes=planes, size=size)
        )

    def delta_of(self, chunk: int, reference: Words | None = None) -> None:
        """Return None: the codec stores words, not a delta."""

    def live_form(self) -> None:
        """Return None: the stored words replace the weight."""


CODEC = Codec(NAME, WholeDecoder, known_error=0.0)
