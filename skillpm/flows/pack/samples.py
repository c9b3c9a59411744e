"""Samples of the tensors that differ: a few of each kind, and some rows of each large one.

`pack --dry-run` runs the encoder on them. A group is tensors of the same shape and dtype whose
names differ only in numbers, such as the query projections of all layers.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any, Protocol, runtime_checkable

from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.ports import CHUNK, Source
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.spec.dtypes import BITS, TensorSpec
from skillpm.spec.merkle import LeafHasher

ENTRIES = CHUNK
"""The most entries of a tensor that are sampled: those of a chunk, which is encoded at once."""
_MOST = 16
"""The most tensors of a group that are sampled."""
_GROUPS = 64
"""With more groups, tensors are grouped by their kind of module instead of their names."""
_BLOCKS = 8
"""The blocks of consecutive rows that a sample of a tensor has."""
_NUMBER = re.compile(r"\d+")
_BYTE = 8


@dataclass(frozen=True)
class TensorGroup:
    """Tensors that cost about the same, sorted by name; those in `sampled` are measured."""

    pairs: tuple[Pair, ...]
    sampled: tuple[Pair, ...]

    def nearest(self) -> Iterator[tuple[Pair, Pair]]:
        """Every tensor with the sampled one that stands for it."""
        each = len(self.pairs) / len(self.sampled)
        for place, pair in enumerate(self.pairs):
            yield pair, self.sampled[min(len(self.sampled) - 1, int(place / each))]


def group_tensors(pairs: Iterable[Pair], entries: int) -> list[TensorGroup]:
    """Group the pairs that have a tuned tensor, and choose the sampled ones evenly.

    About `entries` of a group are sampled, and at least one tensor.
    """
    kept = [pair for pair in pairs if pair.tuned]
    groups = _grouped(kept, lambda name: _NUMBER.sub("*", name))
    if len(groups) > _GROUPS:
        groups = _grouped(kept, kind_of)
    return [TensorGroup(tuple(group), tuple(_chosen(group, entries))) for group in groups]


def _grouped(pairs: Sequence[Pair], alias: Callable[[str], str]) -> list[list[Pair]]:
    groups: dict[Any, list[Pair]] = {}
    for pair in pairs:
        spec, base = spec_of(pair), pair.base
        key = (alias(pair.tensor), spec.dtype, spec.shape, base and base.shape, pair.cast)
        groups.setdefault(key, []).append(pair)
    return list(groups.values())


def _chosen(group: Sequence[Pair], entries: int) -> Iterator[Pair]:
    each = max(1, min(ENTRIES, spec_of(group[0]).elements))
    count = max(1, min(len(group), _MOST, entries // each))
    for number in range(count):
        yield group[(2 * number + 1) * len(group) // (2 * count)]


def spec_of(pair: Pair) -> TensorSpec:
    """The spec of the tuned tensor of a pair that has one."""
    assert pair.tuned is not None  # noqa: S101 - for the type checker; groups have no removal
    return pair.tuned


@dataclass(frozen=True)
class SampledSource:
    """Parts of tensors in memory, as a source. Hashes what it yields, as a verified model does."""

    specs: Mapping[str, TensorSpec]
    data: Mapping[str, bytes]

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a part, `CHUNK` words at a time."""
        spec, data = self.specs[name], self.data[name]
        hasher, step = LeafHasher(spec.dtype, spec.shape), CHUNK * spec.itemsize
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            hasher.update(piece)
            yield piece
        hasher.digest()


@dataclass(frozen=True)
class Sample:
    """A part of one tensor of both models. `share` is the tensor's entries over the part's."""

    pair: Pair
    base: SampledSource
    tuned: SampledSource
    share: float

    @property
    def entries(self) -> int:
        """The entries of the part."""
        return spec_of(self.pair).elements


@runtime_checkable
class RangedSource(Source, Protocol):
    """A source of which any bytes of a tensor can be read, such as a checkpoint."""

    def read_bytes(self, name: str, start: int, stop: int) -> bytes:
        """The bytes of a tensor from `start` until before `stop`."""
        ...


@dataclass(frozen=True)
class _Cut:
    """Which part of a tensor is read: blocks of rows, and the first `columns` of each."""

    rows: tuple[tuple[int, int], ...]
    columns: int

    @classmethod
    def of(cls, spec: TensorSpec, entries: int, *, is_square: bool) -> "_Cut":
        """At most about `entries`; `is_square` keeps the ratio of rows to columns."""
        height, width = spec.shape[0], prod(spec.shape[1:])
        share = entries / spec.elements
        if len(spec.shape) == 1:
            return cls(((0, min(height, entries)),), 1)
        columns = max(1, round(width * sqrt(share))) if is_square else min(width, entries)
        count = max(1, min(height, entries // columns))
        return cls(tuple(_blocks(height, count)), columns)

    def spec(self, spec: TensorSpec) -> TensorSpec:
        """The spec of the part of a tensor, which may have fewer rows than the other model's."""
        height = sum(stop - start for start, stop in self._within(spec))
        width = prod(spec.shape[1:])
        rest = spec.shape[1:] if self.columns >= width else (self.columns,)
        return replace(spec, shape=(height, *rest))

    def _within(self, spec: TensorSpec) -> list[tuple[int, int]]:
        last = spec.shape[0]
        return [(min(start, last), min(stop, last)) for start, stop in self.rows]

    def read(self, source: Source, spec: TensorSpec) -> bytes:
        """The bytes of the part. A source without ranges is read whole."""
        width = prod(spec.shape[1:]) * spec.itemsize
        kept = min(width, self.columns * spec.itemsize)
        found = bytearray()
        ranged = source if isinstance(source, RangedSource) else None
        whole = b"" if ranged else b"".join(source.chunks(spec.name))
        for start, stop in self._within(spec):
            first, last = start * width, stop * width
            rows = ranged.read_bytes(spec.name, first, last) if ranged else whole[first:last]
            if kept == width:
                found += rows
            else:
                for row in range(0, len(rows), width):
                    found += rows[row : row + kept]
        return bytes(found)


def _blocks(height: int, count: int) -> Iterator[tuple[int, int]]:
    """Blocks of `count` rows in all, from the first to the last of `height` rows."""
    blocks = min(_BLOCKS, count)
    for number in range(blocks):
        size = count // blocks + (number < count % blocks)
        start = number * (height - size) // max(1, blocks - 1)
        yield start, start + size


def read_sample(
    models: ModelPair, pair: Pair, *, entries: int = ENTRIES, is_square: bool = False
) -> Sample:
    """Read a part of a tensor of both models; all of it if it has at most `entries`.

    `is_square` takes a part with the tensor's ratio of rows to columns, for a scheme that
    decomposes matrices.
    """
    spec = spec_of(pair)
    if spec.elements <= entries or not spec.shape or BITS[spec.dtype] < _BYTE:
        cut = _Cut(((0, spec.shape[0] if spec.shape else 1),), prod(spec.shape[1:]))
    else:
        cut = _Cut.of(spec, entries, is_square=is_square)
    read = models.tuned.specs[pair.read_name]
    tuned = _source(models.tuned, read, cut, pair.read_name)
    kept = replace(tuned.specs[pair.read_name], name=pair.tensor, dtype=spec.dtype)
    base = SampledSource({}, {})
    if pair.base is not None and len(pair.base.shape) == len(spec.shape):
        base = _source(models.reference.source, pair.base, cut, pair.tensor)
    small = replace(pair, base=base.specs.get(pair.tensor), tuned=kept)
    return Sample(small, base, tuned, spec.elements / max(1, kept.elements))


def _source(source: Source, spec: TensorSpec, cut: _Cut, name: str) -> SampledSource:
    part = cut.spec(spec) if spec.shape else spec
    whole = part.shape == spec.shape
    data = b"".join(source.chunks(name)) if whole else cut.read(source, spec)
    return SampledSource({name: part}, {name: data})
