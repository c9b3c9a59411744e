"""A payload layer: a safetensors file that holds the encoded parts of a group of tensors.

Every part is a `U8` tensor. Its name is `TENSOR/PART`, or `TENSOR/PART.zst` if it is a zstd frame.
The metadata maps each tensor to its record, `{"codec": …, …settings}` as canonical JSON.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from skillpm.delta.coding.zstd_frames import compress, decompress
from skillpm.delta.tensors.ports import ReadAt, WriteSink
from skillpm.errors import IntegrityError, SpecError
from skillpm.spec import json
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.safetensors import (
    LENGTH_BYTES,
    Placed,
    dump_header,
    header_length,
    layout,
    parse_header,
)

_FRAME = ".zst"
_ENTRY = 70
"""About the bytes of a part in the header of a layer, without its name."""
_COPY = 1 << 20
"""Bytes copied at once from the spool to the layer."""


@dataclass(frozen=True, slots=True)
class Record:
    """How a tensor is encoded: the name of the codec and its settings."""

    codec: str
    settings: Mapping[str, Any]


class PayloadWriter:
    """Collects parts in a spool, in any order and from any thread, then writes the layer.

    The bytes of the layer depend on the parts alone, not on the order in which they were added.
    """

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._parts: dict[str, tuple[int, int]] = {}
        self._records: dict[str, str] = {}
        self._stored: dict[str, int] = {}

    def put(self, tensor: str, part: str, data: bytes | memoryview) -> int:
        """Store one part, as a zstd frame if that is smaller, and return the bytes stored."""
        frame = compress(data)
        stored = data if frame is None else frame
        self._store(tensor, f"{tensor}/{part}" + ("" if frame is None else _FRAME), stored)
        return len(stored)

    def put_plain(self, tensor: str, part: str, data: bytes) -> None:
        """Store one part that is already entropy-coded, without compression."""
        self._store(tensor, f"{tensor}/{part}", data)

    def _store(self, tensor: str, name: str, data: bytes | memoryview) -> None:
        with self._lock:
            start = self._spool.tell()
            self._spool.write(data)
            self._parts[name] = (start, len(data))
            self._stored[tensor] = self._stored.get(tensor, 0) + len(data)

    def stored_bytes(self, tensor: str) -> int:
        """Return the bytes that the tensor's parts take in the layer."""
        return self._stored.get(tensor, 0)

    def describe(self, tensor: str, record: Record) -> None:
        """Store the record of a tensor."""
        plain = {"codec": record.codec, **record.settings}
        with self._lock:
            self._records[tensor] = json.canonical(plain).decode()

    @property
    def size(self) -> int:
        """The bytes of all parts, and about the bytes of their entries in the layer's header."""
        with self._lock:
            return sum(size + _ENTRY + len(name) for name, (_, size) in self._parts.items())

    def copy_parts_to(self, other: "PayloadWriter") -> None:
        """Store all parts in another writer too, as they are."""
        for name, (start, size) in self._parts.items():
            self._spool.seek(start)
            tensor, _, part = name.rpartition("/")
            other.put_plain(tensor, part, self._spool.read(size))

    def copy(self, layer: "PayloadReader", tensor: str) -> Record:
        """Copy the stored parts and the record of a tensor from a layer; return the record."""
        for name, data in layer.stored_parts(tensor):
            self._store(tensor, name, data)
        record = layer.records[tensor]
        self.describe(tensor, record)
        return record

    def write_to(self, sink: WriteSink) -> None:
        """Write the whole layer to `sink`."""
        specs = [TensorSpec(name, "U8", (size,)) for name, (_, size) in self._parts.items()]
        placed = layout(specs)
        sink.write(dump_header(placed, dict(sorted(self._records.items()))))
        for tensor in placed:
            start, size = self._parts[tensor.spec.name]
            self._spool.seek(start)
            while size:
                piece = self._spool.read(min(size, _COPY))
                sink.write(piece)
                size -= len(piece)


class PayloadReader:
    """Reads the parts of a layer. Each part has the size that the caller expects, or it raises."""

    def __init__(self, file: ReadAt, what: str) -> None:
        self._file = file
        self._what = what
        length = header_length(file.read(0, min(LENGTH_BYTES, file.size)), file.size, what)
        data = file.read(LENGTH_BYTES, LENGTH_BYTES + length)
        header = parse_header(data, file.size, what)
        self._start = header.data_start
        self._parts = {placed.spec.name: placed for placed in header.tensors}
        self.records = {name: self._record(name, text) for name, text in header.metadata.items()}
        self._stored: dict[str, int] = dict.fromkeys(self.records, 0)
        self._names = self._grouped()

    def _record(self, tensor: str, text: str) -> Record:
        plain = json.parse_object(text.encode(), f"the record of {tensor!r} in {self._what}")
        codec = plain.pop("codec", None)
        if not isinstance(codec, str):
            raise SpecError(f"the record of {tensor!r} in {self._what} has no `codec`")
        return Record(codec, plain)

    def _grouped(self) -> dict[str, set[str]]:
        grouped: dict[str, set[str]] = {tensor: set() for tensor in self.records}
        for name, placed in self._parts.items():
            tensor, slash, part = name.rpartition("/")
            if not slash or tensor not in grouped or placed.spec.dtype != "U8":
                raise IntegrityError(f"{self._what} has part {name!r}, which belongs to no tensor")
            if part.removesuffix(_FRAME) in grouped[tensor]:
                raise IntegrityError(
                    f"{self._what} has part {name!r} twice: raw and as a zstd frame"
                )
            grouped[tensor].add(part.removesuffix(_FRAME))
            self._stored[tensor] += placed.stop - placed.start
        return grouped

    def stored_bytes(self, tensor: str) -> int:
        """Return the bytes that the tensor's parts take in the layer."""
        return self._stored.get(tensor, 0)

    def stored_parts(self, tensor: str) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of every part of a tensor, as they are stored."""
        for name, placed in self._placed(tensor):
            yield name, self._read(placed)

    def _placed(self, tensor: str) -> Iterator[tuple[str, Placed]]:
        for part in sorted(self._names.get(tensor, ())):
            for name in (f"{tensor}/{part}", f"{tensor}/{part}{_FRAME}"):
                if name in self._parts:
                    yield name, self._parts[name]

    def expect_parts(self, tensor: str, parts: set[str]) -> None:
        """Raise `IntegrityError` unless the tensor has exactly these parts."""
        if self._names.get(tensor) != parts:
            raise IntegrityError(
                f"{self._what}: {tensor!r} does not have the parts that its codec needs"
            )

    def plain(self, tensor: str, part: str, limit: int | None = None) -> bytes:
        """Return the bytes of a part that is stored raw, at most `limit` of them.

        Raises `IntegrityError` if the part is missing, is a zstd frame, or is larger than `limit`.
        """
        name = f"{tensor}/{part}"
        placed = self._parts.get(name)
        if placed is None:
            raise IntegrityError(f"part {name!r} of {self._what} is missing, or is a zstd frame")
        if limit is not None and placed.stop - placed.start > limit:
            size = placed.stop - placed.start
            message = f"part {name!r} of {self._what} has {size} bytes, expected at most {limit}"
            raise IntegrityError(message)
        return self._read(placed)

    def part(self, tensor: str, part: str, expected: int) -> bytes:
        """Return the bytes of one part, exactly `expected` of them, decompressed if it is a frame.

        Raises `IntegrityError` if the part is missing or has another size.
        """
        name = f"{tensor}/{part}"
        what = f"part {name!r} of {self._what}"
        plain = self._parts.get(name)
        if plain is not None:
            data = self._read(plain)
            if len(data) != expected:
                raise IntegrityError(f"{what} has {len(data)} bytes, expected {expected}")
            return data
        framed = self._parts.get(name + _FRAME)
        if framed is None:
            raise IntegrityError(f"{what} is missing")
        return decompress(self._read(framed), expected, what)

    def _read(self, placed: Placed) -> bytes:
        return self._file.read(self._start + placed.start, self._start + placed.stop)
