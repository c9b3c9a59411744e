"""The base classes of decoders whose payload is a delta."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from skillpm.delta.codecs.shared.base import add_and_round
from skillpm.delta.codecs.shared.forms import LiveForm
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.words import Words, chunk_spans
from skillpm.spec.dtypes import TensorSpec


class AddingDecoder(ABC):
    """A `TensorDecoder` that adds Δ̂ to the reference; subclasses give `_delta` and `delta_of`."""

    def __init__(self, spec: TensorSpec) -> None:
        self._spec = spec
        self._spans = chunk_spans(spec)

    @abstractmethod
    def _delta(self, chunk: int, reference: Words | None) -> Floats:
        """Return Δ̂ [n] of a chunk, float64. Raises `IntegrityError` if a part is damaged."""

    def decode_chunk(self, chunk: int, reference: Words, delta: Floats | None = None) -> Words:
        """Return float64(reference) + Δ̂, rounded once. Raises `GraftError` if a sum overflows."""
        dtype, name = self._spec.dtype, self._spec.name
        if delta is not None:
            return add_and_round(reference, delta, dtype, name)
        words = np.empty_like(reference)
        for at, piece in self._pieces(chunk, reference):
            span = slice(at, at + piece.size)
            words[span] = add_and_round(reference[span], piece, dtype, name)
        return words

    def _pieces(self, chunk: int, reference: Words) -> Iterator[tuple[int, Floats]]:
        """Yield Δ̂ of a chunk in pieces: the position in the chunk, and the piece."""
        yield 0, self._delta(chunk, reference)

    def live_form(self) -> LiveForm | None:
        """Return None: only the sum with the base's weight can run."""
        return None


class DeltaDecoder(AddingDecoder):
    """A decoder with a Δ̂ independent of the reference; subclasses give `_chunk_delta`."""

    @abstractmethod
    def _chunk_delta(self, chunk: int) -> Floats:
        """Return Δ̂ [n] of a chunk, float64. Raises `IntegrityError` if a part is damaged."""

    def _delta(self, chunk: int, reference: Words | None) -> Floats:  # noqa: ARG002 - not used here
        return self._chunk_delta(chunk)

    def delta_of(self, chunk: int, reference: Words | None = None) -> Floats:  # noqa: ARG002 - codecs share a signature
        """Return Δ̂ [n] of a chunk, float64; the reference is not used."""
        return self._chunk_delta(chunk)


class ReferenceDecoder(AddingDecoder):
    """A decoder that may need the reference's exponents to decode Δ̂; subclasses give `_delta`."""

    @property
    @abstractmethod
    def _needs_reference(self) -> bool:
        """Whether Δ̂ cannot be decoded without the reference."""

    def delta_of(self, chunk: int, reference: Words | None = None) -> Floats | None:
        """Return Δ̂ [n] of a chunk, float64; None if it needs a reference that is not given."""
        if reference is None and self._needs_reference:
            return None
        return self._delta(chunk, reference)
