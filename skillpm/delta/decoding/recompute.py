"""Recomputes facts about a pack's decoded tensors, which `verify` compares with the manifest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.tensors.countsketch import Sketcher, encode_sketch, sum_sketches
from skillpm.delta.tensors.ports import Source
from skillpm.delta.tensors.rounding import Floats, to_float64
from skillpm.parallel import Advance, parallel_map
from skillpm.spec.compat import is_additive
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import LeafHasher


@dataclass(frozen=True)
class DecodedTensor:
    """One decoded tensor of a pack.

    `leaf` is the leaf of the pack's own decode at weight 1. `stored` is the number of bytes that
    its parts take in the layer. `settings` is its record in the payload. `sketch` is the sketch of
    the decoded delta; None for a tensor without a delta.
    """

    leaf: Digest
    codec: str
    stored: int
    settings: Mapping[str, Any]
    sketch: Floats | None


def decode_tensor(pack: OpenPack, tensor: str, source: Source) -> DecodedTensor:
    """Decode a tensor against `source`, which the pack was encoded against, and measure it.

    Measures what `pack` measures. Streams chunk by chunk. Raises the errors of `OpenPack.decode`.
    """
    entry = pack.entries[tensor]
    assert entry.layer is not None  # noqa: S101 - callers pass no removal
    hasher = LeafHasher(entry.dtype, entry.shape)
    sketcher = Sketcher(tensor) if is_additive(entry) else None
    for reference, words, _ in pack.decode(tensor, source, with_delta=False):
        hasher.update(words.tobytes())
        if sketcher is not None:
            with np.errstate(invalid="ignore", over="ignore"):
                sketcher.add(to_float64(words, entry.dtype) - to_float64(reference, entry.dtype))
    reader = pack.reader(entry.layer)
    record = reader.records[tensor]
    return DecodedTensor(
        hasher.digest(),
        record.codec,
        reader.stored_bytes(tensor),
        record.settings,
        sketcher.buckets if sketcher else None,
    )


def decode_all(
    pack: OpenPack, source: Source, *, workers: int, advance: Advance
) -> dict[str, DecodedTensor]:
    """Decode every tensor of a pack, except removed ones, and return them by name."""

    def decode(tensor: str) -> DecodedTensor:
        decoded = decode_tensor(pack, tensor, source)
        advance(pack.entries[tensor].spec.nbytes)
        return decoded

    names = [name for name, entry in pack.entries.items() if entry.layer is not None]
    decoded = parallel_map(
        decode, names, workers=workers, size=lambda name: pack.entries[name].spec.nbytes
    )
    return dict(zip(names, decoded, strict=True))


def sketch_of(tensors: Iterable[tuple[str, DecodedTensor]]) -> str:
    """Return the sketch of a pack's whole decoded delta, encoded as in its manifest."""
    return encode_sketch(
        sum_sketches({name: tensor.sketch for name, tensor in tensors if tensor.sketch is not None})
    )
