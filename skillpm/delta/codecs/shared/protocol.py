"""What every codec answers; the rest of the package knows codecs by these classes alone.

A codec is one file: the class that decodes a tensor, what writes one, and a `Codec` that the table
(`codecs.table`) lists.
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
    """Decodes one tensor of a pack, chunk by chunk. Its parts are checked when it is made.

    Law: where `delta_of` gives Δ̂, `decode_chunk` is float64(reference) + Δ̂, rounded once to the
    tensor's dtype; where it gives None, `decode_chunk` is the tuned tensor, bit for bit. Only
    `zero` keeps the reference's own bits, which a sum would change (-0.0 + 0.0 is 0.0).
    """

    def decode_chunk(self, chunk: int, reference: Words, delta: Floats | None = None) -> Words:
        """The words [n] of a chunk, from the words [n] that the reference has there.

        `delta` is what `delta_of` gave for the same chunk, so that it is not decoded twice.
        Raises `IntegrityError` where a part is damaged, `GraftError` where a sum overflows.
        """
        ...

    def delta_of(self, chunk: int, reference: Words | None = None) -> Floats | None:
        """Δ̂ [n] of a chunk, float64, in the unit of the weights.

        None where the codec stores words instead of a delta, and where Δ̂ depends on the reference
        and none is given. Raises `IntegrityError` where a part is damaged.
        """
        ...

    def live_form(self) -> LiveForm | None:
        """Δ̂ as plain values that can run beside the base's weight; None where it cannot."""
        ...


OpenTensor = Callable[[TensorSpec, PayloadReader, Mapping[str, Any]], TensorDecoder]
"""Makes the decoder of a tensor from its spec, its layer and the settings of its record.

Raises `IntegrityError` where parts or settings do not fit the tensor.
"""


@dataclass(frozen=True)
class Codec:
    """One codec of the payload format, as the table lists it.

    `known_error` is ‖Δ - Δ̂‖ / ‖Δ‖ where the codec alone decides it: 0 for codecs that are exact, 1
    for `zero`; None where it is measured when a pack is written. `keeps_factors` says that the
    parts are the factors of an adapter, which an export gives back as they are.
    """

    name: str
    open: OpenTensor
    known_error: float | None = None
    keeps_factors: bool = False

    @property
    def lossy(self) -> bool:
        """Whether the codec decodes to a delta that is added: only a float tensor has one."""
        return self.known_error != 0.0


class TensorEncoder(Protocol):
    """Encodes one tensor exactly, chunk by chunk in order; `close` at the end."""

    def chunk(self, reference: Words, tuned: Words) -> None:
        """Encode the words [n] of the next chunk against the reference's words [n]."""
        ...

    def close(self) -> Record:
        """Write the record of all chunks, and return it."""
        ...


class CodedTensor(Protocol):
    """A tensor as an entropy-coded codec will write it: what the scheme `auto` chooses among."""

    def estimate(self) -> float:
        """About the bytes of the tensor's part, its record apart, without encoding it."""
        ...

    def decoded_delta(self) -> Floats:
        """The Δ̂ [m, n] that a decoder will give, bit for bit; float64."""
        ...

    def write(self, spec: TensorSpec, writer: PayloadWriter) -> Record:
        """Write the tensor's part and its record."""
        ...
