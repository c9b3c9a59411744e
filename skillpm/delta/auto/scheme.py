"""The scheme `auto`: encodes each tensor by the choice of an allocation."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from skillpm.delta.auto.allocate import Allocation
from skillpm.delta.auto.encode_choice import encode_choice
from skillpm.delta.auto.metric import Weighting
from skillpm.delta.auto.points import EncodingChoice
from skillpm.delta.auto.rows import TensorRows
from skillpm.delta.codecs import zero
from skillpm.delta.codecs.grid import rows_of
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.encoding.schemes import Lossless
from skillpm.delta.encoding.torch_device import CPU, ComputeDevice
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import Chunk

EXACT = EncodingChoice("lossless")
Encoded = Callable[[str, EncodingChoice], PayloadReader | None]
"""Returns a layer that holds a tensor as encoded by a choice, or None."""


@dataclass(frozen=True)
class Auto:
    """Encodes each tensor as allocated. `requested` are the settings of the command.

    `encoded` returns layers of earlier trials, from which unchanged tensors are copied.
    Matrices are decomposed and rounded on `device`.
    """

    weighting: Weighting
    allocation: Allocation
    requested: Mapping[str, Any]
    encoded: Encoded = lambda _tensor, _choice: None
    device: ComputeDevice = CPU
    name: str = "auto"

    @property
    def settings(self) -> dict[str, Any]:
        """The requested settings, and those of the metric."""
        return {**self.requested, **self.weighting.settings}

    @property
    def is_exact(self) -> bool:
        """Whether all tensors are encoded exactly."""
        return {choice.family for choice in self.allocation.choices.values()} <= {"lossless"}

    def with_settings(self, facts: Mapping[str, Any]) -> "Auto":
        """Add settings to those requested."""
        return replace(self, requested={**self.requested, **facts})

    def choice(self, tensor: str) -> EncodingChoice:
        """Return the choice for a tensor; a tensor without candidates is stored exactly."""
        return self.allocation.choices.get(tensor, EXACT)

    def encoding_key(self, tensor: str) -> dict[str, Any]:
        """The choice for the tensor, the weighting of its errors, and the device."""
        return {
            "scheme": self.name,
            "choice": asdict(self.choice(tensor)),
            "weighting": self.weighting.key,
            "device": self.device.name,
        }

    def encode(self, pair: Pair, chunks: Iterable[Chunk], writer: PayloadWriter) -> Record:
        """Encode one tensor and return its record."""
        choice, spec = self.choice(pair.tensor), pair.tuned
        earlier = self.encoded(pair.tensor, choice)
        if earlier is not None:
            return writer.copy(earlier, pair.tensor)
        if choice.family == "lossless" or spec is None:
            return Lossless().encode(pair, chunks, writer)
        metric = self.weighting.metric(pair.tensor, rows_of(spec))
        coded = encode_choice(TensorRows(spec, lambda: chunks, self.device), metric, choice)
        return zero.encode(spec, writer) if coded is None else coded.write(spec, writer)
