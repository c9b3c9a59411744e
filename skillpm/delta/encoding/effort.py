"""How hard `pack --scheme lossless` works: the exact codecs that each effort tries."""

import io
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from skillpm.delta.codecs import bitmap, lossless
from skillpm.delta.codecs.shared.protocol import TensorEncoder
from skillpm.delta.coding.payload import PayloadWriter, Record
from skillpm.delta.tensors.words import Words
from skillpm.spec.dtypes import TensorSpec

Effort = Literal["fast", "normal", "best"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
NORMAL: Effort = "normal"
"""The effort of a pack whose settings do not name one."""
EFFORT_CODECS: Mapping[str, frozenset[str]] = {
    "fast": frozenset({bitmap.NAME}),
    "normal": frozenset({lossless.NAME}),
    "best": frozenset({bitmap.NAME, lossless.NAME}),
}
"""The codecs that each effort uses for a tensor whose difference is stored."""
MakeEncoder = Callable[[TensorSpec, PayloadWriter], TensorEncoder]


class SmallestEncoder:
    """A `TensorEncoder` that encodes with several codecs and keeps the smallest result.

    Holds the encoded tensor in memory, once per codec.
    """

    def __init__(
        self, spec: TensorSpec, writer: PayloadWriter, makers: tuple[MakeEncoder, ...]
    ) -> None:
        self._spec = spec
        self._writer = writer
        self._trials = [PayloadWriter(io.BytesIO()) for _ in makers]
        self._encoders = [
            make(spec, trial) for make, trial in zip(makers, self._trials, strict=True)
        ]

    def chunk(self, reference: Words, tuned: Words) -> None:
        """Encode the next chunk [n] with every codec."""
        for encoder in self._encoders:
            encoder.chunk(reference, tuned)

    def close(self) -> Record:
        """Write the smallest result, the first of equals, and return its record."""
        records = [encoder.close() for encoder in self._encoders]
        sizes = [trial.size for trial in self._trials]
        smallest = sizes.index(min(sizes))
        self._trials[smallest].copy_parts_to(self._writer)
        self._writer.describe(self._spec.name, records[smallest])
        return records[smallest]


def _smallest(spec: TensorSpec, writer: PayloadWriter) -> TensorEncoder:
    return SmallestEncoder(spec, writer, (lossless.LosslessEncoder, bitmap.BitmapEncoder))


ENCODERS: Mapping[Effort, MakeEncoder] = {
    "fast": bitmap.BitmapEncoder,
    "normal": lossless.LosslessEncoder,
    "best": _smallest,
}
"""The encoder of each effort for a tensor whose difference is stored."""
