"""The interfaces of `skillpm.delta`: models read in chunks, and files of payload layers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from skillpm.spec.dtypes import TensorSpec

CHUNK = 1 << 20
"""Words in a chunk: tensors are read in pieces of this many elements."""


class Source(Protocol):
    """A model whose tensors can be read one at a time, chunk by chunk."""

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """The spec of every tensor, by name."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the tensor's little-endian bytes, `CHUNK` words at a time; the last has fewer."""
        ...


class ReadAt(Protocol):
    """An open file of known size that can be read at any position."""

    @property
    def size(self) -> int:
        """The size in bytes."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """Return exactly the bytes from `start` up to, but not including, `stop`."""
        ...


@dataclass(frozen=True)
class InMemory:
    """A file in memory, as `ReadAt`."""

    data: bytes | memoryview

    @property
    def size(self) -> int:
        """The size in bytes."""
        return len(self.data)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to, but not including, `stop`."""
        return bytes(self.data[start:stop])


class WriteSink(Protocol):
    """The destination of a payload layer."""

    def write(self, data: bytes, /) -> object:
        """Write the next bytes."""
        ...
