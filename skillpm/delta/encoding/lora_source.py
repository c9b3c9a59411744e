"""A base with an adapter on it, as a source: the tuned side if TUNED is an adapter.

Each tensor is the base's own or a dense tensor of the adapter, plus a low-rank update if the
adapter has one. Nothing is held in memory: a tensor is computed chunk by chunk as it is read.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from skillpm.delta.codecs import lowrank
from skillpm.delta.codecs.lowrank import AppliedUpdate, Update, factor_of, rank_limit
from skillpm.delta.coding.payload import PayloadWriter, Record
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.encoding.measured import MeasuredTensor, TensorMeter
from skillpm.delta.encoding.schemes import Scheme
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.ports import Source
from skillpm.delta.tensors.rounding import Floats, from_float64, to_float64
from skillpm.delta.tensors.streams import Chunk
from skillpm.delta.tensors.words import Words, chunk_spans, words_of
from skillpm.errors import GraftError
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec, is_float
from skillpm.spec.merkle import leaf_of_chunks


@dataclass(frozen=True)
class SourceTensor:
    """A tensor of a source, by its name there."""

    source: Source
    name: str

    @property
    def spec(self) -> TensorSpec:
        """The spec of the tensor."""
        return self.source.specs[self.name]

    def read(self) -> bytes:
        """Read all bytes of the tensor."""
        return b"".join(self.source.chunks(self.name))

    def is_like(self, other: "SourceTensor") -> bool:
        """Whether this tensor equals the other, or rounds to it.

        Reads both up to the first difference.
        """
        own_spec, other_spec = self.spec, other.spec
        if own_spec.shape != other_spec.shape:
            return False
        cast = own_spec.dtype != other_spec.dtype
        if cast and not (is_float(own_spec.dtype) and is_float(other_spec.dtype)):
            return False
        return self._agrees(other, cast=cast)

    def starts_like(self, other: "SourceTensor") -> bool:
        """Whether the rows that both tensors have are equal, or round to the other's.

        Reads those rows of both.
        """
        own_spec, other_spec = self.spec, other.spec
        cast = own_spec.dtype != other_spec.dtype
        if own_spec.shape[1:] != other_spec.shape[1:] or (
            cast and not (is_float(own_spec.dtype) and is_float(other_spec.dtype))
        ):
            return False
        return self._agrees(other, cast=cast)

    def _agrees(self, other: "SourceTensor", *, cast: bool) -> bool:
        """Whether the words agree up to the end of the shorter tensor."""
        own_spec, other_spec = self.spec, other.spec
        for own_chunk, other_chunk in zip(
            self.source.chunks(self.name), other.source.chunks(other.name), strict=False
        ):
            words, expected = words_of(own_chunk, own_spec), words_of(other_chunk, other_spec)
            size = min(words.size, expected.size)
            words, expected = words[:size], expected[:size]
            if cast:
                words, _ = from_float64(to_float64(words, own_spec.dtype), other_spec.dtype)
            if not np.array_equal(words, expected):
                return False
        return True


@dataclass(frozen=True)
class PendingUpdate:
    """A low-rank update that has not been read; `axis` is the axis of DoRA's magnitudes."""

    a: SourceTensor
    b: SourceTensor
    scale: float
    transposed: bool
    axis: int | None = None
    magnitude: SourceTensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the tensor to which the update applies."""
        out, width = self.b.spec.shape[0], self.a.spec.shape[1]
        return (width, out) if self.transposed else (out, width)

    def load(self) -> Update:
        """Read the factors. Raises `GraftError` if one is not finite."""
        sides = [
            factor_of(stored.read(), stored.spec.dtype, stored.spec.shape)
            for stored in (self.a, self.b)
        ]
        for stored, side in zip((self.a, self.b), sides, strict=True):
            if not all(np.isfinite(block).all() for block in side.blocks()):
                raise GraftError(f"{stored.name!r} of the adapter has NaN or Inf")
        return Update(sides[0], sides[1], self.scale, self.transposed, self.axis)


@dataclass
class Adapted:
    """Base + adapter. `dense` replaces or adds tensors; `updates` are added to the result.

    Both are keyed by the base's names. Reading raises `GraftError` if a result overflows.
    Construction raises it if an update does not fit its tensor.
    """

    base: Source
    dense: Mapping[str, SourceTensor]
    updates: Mapping[str, PendingUpdate]
    _factors: dict[str, Floats] = field(init=False, default_factory=dict)
    _measured: dict[str, MeasuredTensor] = field(init=False, default_factory=dict)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        for name, pending in self.updates.items():
            spec = self.specs[name]
            if spec.shape != pending.shape or not is_float(spec.dtype):
                raise GraftError(
                    f"the adapter's update of `{name}` has shape {list(pending.shape)}, "
                    f"but the tensor is {spec.dtype} {list(spec.shape)}"
                )
            if pending.a.spec.shape[0] > rank_limit(pending.shape):
                rank, limit = pending.a.spec.shape[0], rank_limit(pending.shape)
                message = f"the adapter's update of `{name}` has rank {rank}, above {limit}"
                raise GraftError(message)

    @cached_property
    def specs(self) -> Mapping[str, TensorSpec]:
        """The spec of every tensor, by name."""
        placed = {name: replace(stored.spec, name=name) for name, stored in self.dense.items()}
        return {**self.base.specs, **placed}

    def origin(self, name: str) -> SourceTensor:
        """Return the tensor before its update."""
        return self.dense.get(name) or SourceTensor(self.base, name)

    @property
    def touched(self) -> list[str]:
        """The tensors that may differ from the base's, sorted."""
        return sorted(self.dense.keys() | self.updates.keys())

    def factored(self, name: str) -> bool:
        """Whether a tensor is the base's own plus an update: then a pack can store the factors."""
        return name in self.updates and name not in self.dense

    def update(self, name: str) -> Update:
        """Return the update of a tensor; for DoRA with the factors d, which are measured once."""
        pending = self.updates[name]
        update = pending.load()
        if pending.magnitude is None:
            return update
        with self._lock:
            if name not in self._factors:
                self._factors[name] = self._measure(name, pending.magnitude, update)
            return replace(update, magnitudes=self._factors[name])

    def _measure(self, name: str, magnitude: SourceTensor, update: Update) -> Floats:
        """Return DoRA's d = m / ‖W + scale · B·A‖, with norms of rows (axis 0) or columns (1)."""
        spec = self.specs[name]
        applied = AppliedUpdate.fitting(spec, update)
        size, width = spec.shape[update.axis or 0], spec.shape[1]
        if magnitude.spec.elements != size or not is_float(magnitude.spec.dtype):
            message = (
                f"{magnitude.name!r} of the adapter does not fit `{name}`: expected {size} values"
            )
            raise GraftError(message)
        squares = np.zeros(size)
        for number, (words, (start, stop)) in enumerate(self._origin_chunks(name)):
            value = to_float64(words, spec.dtype) + applied.product(number)
            indices = np.arange(start, stop)
            indices = indices % width if update.axis else indices // width
            squares += np.bincount(indices, weights=value * value, minlength=size)
        raw = factor_of(magnitude.read(), magnitude.spec.dtype, (1, magnitude.spec.elements))
        with np.errstate(all="ignore"):
            factors: Floats = raw.rows(0, 1)[0] / np.sqrt(squares)
        if not np.isfinite(factors).all():
            raise GraftError(f"DoRA's magnitudes of `{name}` are NaN or Inf, or a norm is zero")
        return factors

    def _origin_chunks(self, name: str) -> Iterator[tuple[Words, tuple[int, int]]]:
        spec, stored = self.specs[name], self.origin(name)
        for chunk, span in zip(stored.source.chunks(stored.name), chunk_spans(spec), strict=True):
            yield words_of(chunk, spec), span

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the tensor's bytes in pieces of `CHUNK` words."""
        if name not in self.updates:
            stored = self.origin(name)
            yield from stored.source.chunks(stored.name)
            return
        yield from (words.tobytes() for _, words in self._applied(name))

    def _applied(self, name: str) -> Iterator[tuple[Words, Words]]:
        """Yield the words of a tensor before and after its update, chunk by chunk."""
        applied = AppliedUpdate.fitting(self.specs[name], self.update(name))
        for number, (words, _) in enumerate(self._origin_chunks(name)):
            yield words, applied.words(number, words, name)

    def leaf(self, name: str) -> Digest:
        """Compute the leaf of a tensor. Measures an update of the base's own tensor once for all.

        Raises the errors of `chunks`.
        """
        if not self.factored(name):
            return leaf_of_chunks(self.specs[name], self.chunks(name))
        meter = TensorMeter(self.specs[name], additive=True)
        for reference, words in self._applied(name):
            meter.add(reference, words, words)
        self._measured[name] = meter.result()
        return self._measured[name].leaf

    def measured(self, pair: Pair, pack: OpenPack) -> MeasuredTensor | None:
        """Return what a tensor of a pack against this base decodes to; None if it is not known.

        It is known if `leaf` was called and the pack's factors, read back, are those of the
        adapter: the decoder then computes what `leaf` did.
        """
        known = self._measured.get(pair.tensor)
        if known is None or pair.cast or pack.entries[pair.tensor].codec != lowrank.NAME:
            return None
        decoder = pack.decoder(pair.tensor, self.base.specs[pair.tensor])
        return known if lowrank.applies(decoder, self.update(pair.tensor)) else None


@dataclass(frozen=True)
class Factored:
    """A scheme that stores an adapter's factors, and encodes other tensors by another scheme."""

    inner: Scheme
    adapted: Adapted
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the other scheme: the decoded result is the same as without factors."""
        return self.inner.name

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the other scheme, and the facts of the adapter."""
        return {**self.inner.settings, "adapter": dict(self.facts)}

    def encode(self, pair: Pair, chunks: Iterable[Chunk], writer: PayloadWriter) -> Record:
        """Encode one tensor: as factors if the adapter has them."""
        if not self.adapted.factored(pair.tensor):
            return self.inner.encode(pair, chunks, writer)
        spec = self.adapted.specs[pair.tensor]
        return lowrank.encode(spec, self.adapted.update(pair.tensor), writer)

    def encoding_key(self, tensor: str) -> dict[str, Any] | None:
        """That of the other scheme; None for factors, which are not known by a digest."""
        return None if self.adapted.factored(tensor) else self.inner.encoding_key(tensor)
