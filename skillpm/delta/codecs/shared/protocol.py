"""The protocol of a codec; other packages use codecs through these classes alone.

A codec is one file: a class that decodes a tensor, a function or class that encodes one, and a
`Codec` that the table (`codecs.table`) lists.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from skillpm.delta.codecs.shared.forms import LiveForm
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.words import Words
from skillpm.spec.dtypes import TensorSpec


class TensorDecoder(Protocol):
    """Decodes one tensor of a pack, chunk by chunk. Construction checks its parts.

    Law: if `delta_of` returns Δ̂, `decode_chunk` is float64(reference) + Δ̂, rounded once to the
    tensor's dtype; if it returns None, `decode_chunk` is the tuned tensor, bit for bit. Only `zero`
    keeps the reference's bits, which a sum would change (-0.0 + 0.0 is 0.0).
    """

    def decode_chunk(self, chunk: int, reference: Words, delta: Floats | None = None) -> Words:
        """Return the words [n] of a chunk, from the words [n] of the reference there.

        `delta` is the result of `delta_of` for the same chunk, so that it is not decoded twice.
        Raises `IntegrityError` if a part is damaged, `GraftError` if a sum overflows.
        """
        ...

    def delta_of(self, chunk: int, reference: Words | None = None) -> Floats | None:
        """Return Δ̂ [n] of a chunk, float64, in the unit of the weights.

        None if the codec stores words instead of a delta, or if Δ̂ depends on the reference and
        none is given. Raises `IntegrityError` if a part is damaged.
        """
        ...

    def live_form(self) -> LiveForm | None:
        """Return Δ̂ as values that can run beside the base's weight; None if it cannot."""
        ...


OpenTensor = Callable[[TensorSpec, PayloadReader, Mapping[str, Any]], TensorDecoder]
"""Makes the decoder of a tensor from its spec, its layer and the settings of its record.

Raises `IntegrityError` if parts or settings do not fit the tensor.
"""


@dataclass(frozen=True)
class Codec:
    """An entry of the table of codecs.

    `known_error` is ‖Δ - Δ̂‖ / ‖Δ‖ if the codec alone determines it: 0 for exact codecs, 1 for
    `zero`. It is None if it is measured when a pack is written. `keeps_factors` is true if the
    parts are the factors of an adapter, which an export writes unchanged.
    """

    name: str
    open: OpenTensor
    known_error: float | None = None
    keeps_factors: bool = False

    @property
    def lossy(self) -> bool:
        """Whether the codec decodes to a delta that is added; only float tensors have one."""
        return self.known_error != 0.0


class TensorEncoder(Protocol):
    """Encodes one tensor exactly, chunk by chunk in order; `close` returns the record."""

    def chunk(self, reference: Words, tuned: Words) -> None:
        """Encode the words [n] of the next chunk against the reference's words [n]."""
        ...

    def close(self) -> Record:
        """Write the record of all chunks and return it."""
        ...


class CodedTensor(Protocol):
    """A tensor as an entropy-coded codec writes it; the scheme `auto` chooses among them."""

    def estimate(self) -> float:
        """Estimate the bytes of the tensor's part, without its record and without encoding it."""
        ...

    def decoded_delta(self) -> Floats:
        """Return the Δ̂ [m, n] that the decoder returns, bit for bit; float64."""
        ...

    def write(self, spec: TensorSpec, writer: PayloadWriter) -> Record:
        """Write the tensor's part and its record."""
        ...
