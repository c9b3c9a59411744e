"""What this room needs from others: tensors in chunks, and payload layers by byte range."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from skillpm.spec.dtypes import TensorSpec

CHUNK = 1 << 20
"""Words in a chunk: tensors stream in pieces of this many elements."""


class Source(Protocol):
    """A model whose tensors can be read one after the other, chunk by chunk."""

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Every tensor by name."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """The tensor's little-endian bytes in pieces of `CHUNK` words; the last is shorter."""
        ...


class ReadAt(Protocol):
    """An open file of known size."""

    @property
    def size(self) -> int:
        """Its bytes."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop`, all of them."""
        ...


class WriteSink(Protocol):
    """Where a payload layer goes: bytes in order."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""
        ...
