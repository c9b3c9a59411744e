"""Exact deltas between two dictionaries of tensors: `encode` one, and `apply` it.

The codecs and the checks are those of a lossless pack: every tensor is decoded again when it is
encoded, and `apply` compares the leaf of each tensor before and after.
"""

import io
from collections.abc import Mapping
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np

from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.encoding.effort import Effort
from skillpm.delta.encoding.schemes import Lossless
from skillpm.delta.memory.container import Library, dump_delta, open_layer, read_delta
from skillpm.delta.memory.tensors import TensorDict, library_of, new_tensor, placed_like
from skillpm.delta.tensors.damage import check_no_damage
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import pair_chunks, tuned_chunks
from skillpm.errors import GraftError, IntegrityError
from skillpm.parallel import cores, parallel_map
from skillpm.spec.digests import Digest
from skillpm.spec.manifest_parts import FootprintEntry
from skillpm.spec.merkle import LeafHasher, leaf_of_chunks

Tensor = TypeVar("Tensor")


def encode(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    effort: Effort = "fast",
    workers: int | None = None,
) -> bytes:
    """Encode the difference between two dictionaries of tensors, exactly.

    The tensors are torch tensors, on any device, or numpy arrays. `effort` chooses the codecs, as
    `pack --effort` does; `workers` is the number of threads (default: all cores). Raises
    `GraftError` if a tensor has another dtype than before, `UsageError` for a value that is not a
    dense tensor.
    """
    base, tuned = TensorDict.of(before), TensorDict.of(after)
    differing = [pair for pair in _pairs(base, tuned) if _differs(base, tuned, pair)]
    footprint, layer = _encode(base, tuned, differing, Lossless(effort), workers)
    pack = open_layer(footprint, layer)
    parallel_map(
        lambda pair: _check(base, tuned, pair, pack), differing, workers=workers or cores()
    )
    return dump_delta(footprint, layer, library_of(*after.values(), *before.values()))


def _encode(
    base: TensorDict, tuned: TensorDict, pairs: list[Pair], scheme: Lossless, workers: int | None
) -> tuple[dict[str, FootprintEntry], bytes]:
    """Return the footprint, sorted by name, and the payload layer."""
    writer = PayloadWriter(io.BytesIO())

    def encoded(pair: Pair) -> FootprintEntry:
        leaf = _leaf(base, pair.tensor) if pair.base else None
        if pair.tuned is None:
            return pair.entry(leaf=leaf)
        record = scheme.encode(pair, pair_chunks(base, tuned, pair), writer)
        return pair.entry(leaf=leaf, result=_leaf(tuned, pair.tensor), codec=record.codec)

    entries = parallel_map(encoded, pairs, workers=workers or cores())
    entries.sort(key=lambda entry: entry.tensor)
    sink = io.BytesIO()
    writer.write_to(sink)
    layer = sink.getvalue()
    stored = {"layer": Digest.of(layer)}
    footprint = {
        entry.tensor: entry.model_copy(update=stored) if entry.result else entry
        for entry in entries
    }
    return footprint, layer


def apply(
    before: Mapping[str, Tensor], delta: bytes, *, workers: int | None = None
) -> dict[str, Tensor]:
    """Return the tensors after a delta that `encode` made; `before` does not change.

    A changed tensor is new, of the library and on the device of the tensor before. An unchanged
    tensor is the object in `before`. An added tensor is placed like the first tensor of `before`;
    if `before` is empty, it is on the CPU, of the library that the delta was encoded from. Raises
    `IntegrityError` if the delta is damaged or was encoded against other tensors, `SpecError` if
    its footprint cannot be parsed.
    """
    read = read_delta(delta)
    pack = read.pack
    base = TensorDict.of({name: before[name] for name in pack.entries if name in before})
    anything = next(iter(before.values()), None)

    def applied(entry: FootprintEntry) -> Any:
        _check_before(base, entry)
        if entry.layer is None:
            return None
        sample = before.get(entry.tensor, anything)
        library = read.library if sample is None else library_of(sample)
        return placed_like(_decoded(base, pack, entry, library), sample)

    entries = sorted(pack.entries.values(), key=lambda entry: -entry.spec.nbytes)
    tensors = zip(entries, parallel_map(applied, entries, workers=workers or cores()), strict=True)
    changed = {entry.tensor: tensor for entry, tensor in tensors}
    removed = {entry.tensor for entry in entries if entry.layer is None}
    return {name: tensor for name, tensor in {**before, **changed}.items() if name not in removed}


def _pairs(base: TensorDict, tuned: TensorDict) -> list[Pair]:
    """Pair tensors of equal names, the largest first. Raises `GraftError` if dtypes differ."""
    check_no_damage(base.specs, tuned.specs)
    names = base.specs.keys() | tuned.specs.keys()
    pairs = [Pair(name, base.specs.get(name), tuned.specs.get(name)) for name in names]
    for pair in pairs:
        if pair.base and pair.tuned and pair.base.dtype != pair.tuned.dtype:
            raise GraftError(
                f"`{pair.tensor}` is {pair.tuned.dtype}, expected {pair.base.dtype} as before",
                hint="convert the tensors to the same dtype first",
            )
    return sorted(pairs, key=lambda pair: (-_bytes(pair), pair.tensor))


def _bytes(pair: Pair) -> int:
    return max(spec.nbytes for spec in (pair.base, pair.tuned) if spec)


def _differs(base: TensorDict, tuned: TensorDict, pair: Pair) -> bool:
    if pair.change != "changed":
        return True
    chunks = zip(base.chunks(pair.tensor), tuned.chunks(pair.tensor), strict=True)
    return any(before != after for before, after in chunks)


def _leaf(tensors: TensorDict, name: str) -> Digest:
    return leaf_of_chunks(tensors.specs[name], tensors.chunks(name))


def _check(base: TensorDict, tuned: TensorDict, pair: Pair, pack: OpenPack) -> None:
    """Raise `IntegrityError` unless a tensor decodes to the tuned tensor, bit for bit (law 2)."""
    if pair.tuned is None:
        return
    decoded = pack.decode(pair.tensor, base, with_delta=False)
    for (_, words, _), expected in zip(decoded, tuned_chunks(tuned, pair), strict=True):
        if not np.array_equal(words, expected):
            raise IntegrityError(f"`{pair.tensor}` does not decode to the tensor after the change")


def _check_before(base: TensorDict, entry: FootprintEntry) -> None:
    """Raise `IntegrityError` unless a tensor is the one that the delta was encoded against."""
    if entry.tensor not in base.specs and entry.leaf is not None:
        raise IntegrityError(f"`{entry.tensor}` is missing, and the delta changes it")
    if entry.leaf is not None and _leaf(base, entry.tensor) != entry.leaf:
        raise IntegrityError(
            f"`{entry.tensor}` is not the tensor that the delta was encoded against",
            hint="apply deltas in the order in which they were encoded",
        )


def _decoded(base: TensorDict, pack: OpenPack, entry: FootprintEntry, library: Library) -> Any:
    """Return a decoded tensor. Raises `IntegrityError` if it is not the one that was encoded."""
    stream = pack.decode(entry.tensor, base, with_delta=False)
    first = list(islice(stream, 1))  # the decoder checks the size before memory is taken for it
    tensor, room = new_tensor(entry.spec, library)
    hasher = LeafHasher(entry.dtype, entry.shape)
    end = 0
    for _, words, _ in chain(first, stream):
        piece = np.ascontiguousarray(words).view(np.uint8)
        hasher.update(piece.data)
        room[end : end + piece.size] = piece
        end += piece.size
    if hasher.digest() != entry.result:
        raise IntegrityError(f"`{entry.tensor}` does not decode to its recorded leaf")
    return tensor
