"""A delta in memory as bytes: a JSON document with the footprint, then one payload layer.

Layout: `MAGIC`, the length of the document (8 bytes, little-endian), the document, the layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.tensors.ports import InMemory, ReadAt
from skillpm.errors import IntegrityError, Problems
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.fields import Document, read_document
from skillpm.spec.manifest import entry_problems
from skillpm.spec.manifest_parts import FootprintEntry
from skillpm.spec.names import SkillName

MAGIC = b"skillpm.tensors.v1\0"
_LENGTH = 8
_WHAT = "the delta"
_DOCUMENT = "the footprint of the delta"
_NAME = SkillName.parse("skillpm/delta")
"""The name of the pack, which messages do not show."""


Library = Literal["numpy", "torch"]
"""The library of the tensors that a delta was encoded from."""


class TensorFootprint(Document):
    """The tensors that a delta changes, sorted by name, and their library."""

    footprint: list[FootprintEntry]
    library: Library = "numpy"


@dataclass(frozen=True)
class TensorDelta:
    """A delta that was read."""

    pack: OpenPack
    library: Library


def open_layer(entries: Mapping[str, FootprintEntry], layer: bytes) -> OpenPack:
    """Open a layer for decoding. Its digest was compared with that of the entries."""
    file = InMemory(memoryview(layer))

    def opened(_digest: Digest) -> ReadAt:
        return file

    return OpenPack(_NAME, _WHAT, entries, (), opened)


def dump_delta(entries: Mapping[str, FootprintEntry], layer: bytes, library: Library) -> bytes:
    """Return footprint, library and layer as bytes."""
    footprint = [entry.model_dump(mode="json", by_alias=True) for entry in entries.values()]
    document = json.canonical({"footprint": footprint, "library": library})
    return b"".join((MAGIC, len(document).to_bytes(_LENGTH, "little"), document, layer))


def read_delta(delta: bytes | memoryview) -> TensorDelta:
    """Parse a delta, and compare its layer with the digest in the footprint.

    Raises `IntegrityError` if the bytes are damaged, `SpecError` if the footprint is invalid.
    """
    data = memoryview(delta).cast("B")
    start = len(MAGIC) + _LENGTH
    if data[: len(MAGIC)] != MAGIC:
        raise IntegrityError(f"{_WHAT} does not begin with {MAGIC!r}: skillpm did not encode it")
    stop = start + int.from_bytes(data[len(MAGIC) : start], "little")
    if not start <= stop <= len(data):
        raise IntegrityError(f"{_WHAT} is cut off: it has {len(data)} bytes")
    plain = json.parse_object(data[start:stop].tobytes(), _DOCUMENT)
    document = read_document(TensorFootprint, plain, _DOCUMENT)
    entries = _entries(document)
    layer = data[stop:].tobytes()
    expected = {entry.layer for entry in entries.values() if entry.layer}
    if expected - {Digest.of(layer)}:
        raise IntegrityError(f"{_WHAT} is damaged: its payload does not have the recorded digest")
    return TensorDelta(open_layer(entries, layer), document.library)


def _entries(document: TensorFootprint) -> dict[str, FootprintEntry]:
    problems = Problems(_DOCUMENT)
    entries: dict[str, FootprintEntry] = {}
    for position, entry in enumerate(document.footprint):
        if entry.tensor in entries:
            problems.add(f"footprint[{position}].tensor", f"duplicate tensor {entry.tensor!r}")
        entries[entry.tensor] = entry
        for field, problem in entry_problems(entry, over=False):
            problems.add(f"footprint[{position}].{field}", problem)
    problems.raise_if_any()
    return entries
