"""An opened pack: its manifest, and the decoder of any tensor in its footprint."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from skillpm.delta.codecs.shared.protocol import TensorDecoder
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.coding.payload import PayloadReader
from skillpm.delta.tensors.ports import ReadAt, Source
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.streams import reference_chunks
from skillpm.delta.tensors.words import Words
from skillpm.errors import IntegrityError
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec, dense_bytes, is_float
from skillpm.spec.manifest import FootprintEntry, Manifest
from skillpm.spec.names import SkillName

BOMB_RATIO = 1000
BOMB_FLOOR = 1 << 20


Decoded = tuple[Words, Words, Floats | None]


@dataclass
class OpenPack:
    """A pack whose layers can be read; each layer's header is read once.

    `open_layer` gives a layer whose bytes have been hashed against its digest.
    """

    skill: SkillName
    ref: str
    entries: Mapping[str, FootprintEntry]
    over: tuple[SkillName, ...]
    open_layer: Callable[[Digest], ReadAt]
    _readers: dict[Digest, PayloadReader] = field(init=False, default_factory=dict)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    @classmethod
    def of(cls, manifest: Manifest, open_layer: Callable[[Digest], ReadAt]) -> "OpenPack":
        """The pack that a manifest describes."""
        entries = {entry.tensor: entry for entry in manifest.footprint}
        over = tuple(lower.skill for lower in manifest.over)
        return cls(manifest.skill, manifest.ref, entries, over, open_layer)

    def decode(self, tensor: str, source: Source, *, with_delta: bool = True) -> Iterator[Decoded]:
        """Reference words, decoded words and Δ̂ of each chunk, in order; all [n].

        `source` is the model that the pack was cut from. Δ̂ is None where the codec is exact, and
        everywhere where `with_delta` is false: a codec may then decode faster. Raises
        `IntegrityError` where the payload is damaged, `GraftError` where a sum overflows.
        """
        entry = self.entries[tensor]
        decoder = self.decoder(tensor, source.specs.get(tensor))
        for number, reference in enumerate(reference_chunks(source, entry.spec)):
            delta = decoder.delta_of(number, reference) if with_delta else None
            yield reference, decoder.decode_chunk(number, reference, delta), delta

    def reader(self, layer: Digest) -> PayloadReader:
        """The reader of one layer. Raises `IntegrityError` where it holds other tensors."""
        with self._lock:
            if layer not in self._readers:
                what = f"payload layer {layer.short} of {self.ref}"
                reader = PayloadReader(self.open_layer(layer), what)
                named = {e.tensor for e in self.entries.values() if e.layer == layer}
                if reader.records.keys() != named:
                    raise IntegrityError(f"{what} does not hold the tensors that its manifest says")
                self._readers[layer] = reader
            return self._readers[layer]

    def hash_layers(self) -> None:
        """Read and hash every layer. Raises as `reader` and `open_layer` do."""
        for entry in self.entries.values():
            if entry.layer is not None:
                self.reader(entry.layer)

    def decoder(self, tensor: str, reference: TensorSpec | None) -> TensorDecoder:
        """The decoder of one tensor against a reference of this spec (None where there is none).

        Raises `IntegrityError` where the entry's claims do not fit the reference or the payload.
        """
        entry = self.entries[tensor]
        assert entry.layer is not None  # noqa: S101 - the manifest's parser ensures it
        reader = self.reader(entry.layer)
        record = reader.records[tensor]
        if record.codec != entry.codec:
            raise IntegrityError(f"`{tensor}`: manifest and payload name different codecs")
        _check_claims(entry, reference, reader.stored_bytes(tensor))
        codec = CODECS.get(entry.codec)
        if codec is None:
            raise IntegrityError(
                f"`{tensor}` is encoded with `{entry.codec}`, which this skillpm does not know",
                hint="install a newer skillpm",
            )
        is_additive = entry.change == "changed" and is_float(entry.dtype)
        if codec.lossy and not is_additive:
            raise IntegrityError(f"`{tensor}`: codec `{entry.codec}` needs a float tensor's delta")
        return codec.open(entry.spec, reader, record.settings)


def _check_claims(entry: FootprintEntry, reference: TensorSpec | None, stored: int) -> None:
    """Check shape and dtype against the reference's, and the growth of the tensor."""
    if (reference is None) != (entry.change == "added"):
        state = "lacks" if reference is None else "has"
        raise IntegrityError(
            f"`{entry.tensor}` is to be {entry.change}, but what it is cut from {state} it"
        )
    if reference and entry.dtype != reference.dtype:
        raise IntegrityError(
            f"`{entry.tensor}` should be {reference.dtype} as in the base, is {entry.dtype}"
        )
    if reference and (entry.change == "changed") != (entry.shape == reference.shape):
        raise IntegrityError(
            f"`{entry.tensor}` is {entry.change}, but has shape {list(entry.shape)} where the base "
            f"has {list(reference.shape)}"
        )
    grown = dense_bytes(entry.dtype, entry.shape) - (reference.nbytes if reference else 0)
    if grown > BOMB_FLOOR + BOMB_RATIO * stored:
        raise IntegrityError(
            f"`{entry.tensor}` would grow to {grown} bytes out of {stored}: "
            f"more than {BOMB_RATIO} to 1 is refused"
        )
