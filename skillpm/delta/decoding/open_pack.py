"""An opened pack: its manifest, and a decoder for each tensor of its footprint."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

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
"""A tensor may grow by at most this many bytes for each byte stored, plus `BOMB_FLOOR`."""
BOMB_FLOOR = 1 << 20


Decoded = tuple[Words, Words, Floats | None]
"""Reference words [n], decoded words [n], and Δ̂ [n] or None."""


@dataclass
class OpenPack:
    """A pack whose layers can be read; the header of each layer is read once.

    `open_layer` returns a layer whose bytes have been hashed and match its digest.
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
        """Open the pack that a manifest describes."""
        entries = {entry.tensor: entry for entry in manifest.footprint}
        over = tuple(layer.skill for layer in manifest.over)
        return cls(manifest.skill, manifest.ref, entries, over, open_layer)

    def decode(self, tensor: str, source: Source, *, with_delta: bool = True) -> Iterator[Decoded]:
        """Yield reference words, decoded words and Δ̂ of each chunk, in order, all [n].

        `source` is the model that the pack was encoded against. Δ̂ is None for an exact codec, and
        for every codec if `with_delta` is false, which may be faster. Raises `IntegrityError` if
        the payload is damaged, `GraftError` if a sum overflows.
        """
        entry = self.entries[tensor]
        decoder = self.decoder(tensor, source.specs.get(tensor))
        for number, reference in enumerate(reference_chunks(source, entry.spec)):
            delta = decoder.delta_of(number, reference) if with_delta else None
            yield reference, decoder.decode_chunk(number, reference, delta), delta

    @cached_property
    def _tensors(self) -> Mapping[Digest, set[str]]:
        """The tensors of each layer, by the manifest."""
        tensors: dict[Digest, set[str]] = {}
        for entry in self.entries.values():
            if entry.layer is not None:
                tensors.setdefault(entry.layer, set()).add(entry.tensor)
        return tensors

    def reader(self, layer: Digest) -> PayloadReader:
        """Return the reader of a layer.

        Raises `IntegrityError` if its tensors are not the manifest's.
        """
        with self._lock:
            if layer not in self._readers:
                what = f"payload layer {layer.short} of {self.ref}"
                reader = PayloadReader(self.open_layer(layer), what)
                if reader.records.keys() != self._tensors.get(layer):
                    raise IntegrityError(
                        f"{what} does not have exactly the tensors of its manifest"
                    )
                self._readers[layer] = reader
            return self._readers[layer]

    def hash_layers(self) -> None:
        """Read and hash every layer. Raises the errors of `reader` and `open_layer`."""
        for layer in self._tensors:
            self.reader(layer)

    def decoder(self, tensor: str, reference: TensorSpec | None) -> TensorDecoder:
        """Return the decoder of one tensor against a reference of this spec, None for no reference.

        Raises `IntegrityError` if the entry does not fit the reference or the payload.
        """
        entry = self.entries[tensor]
        assert entry.layer is not None  # noqa: S101 - the manifest's parser ensures it
        reader = self.reader(entry.layer)
        record = reader.records[tensor]
        if record.codec != entry.codec:
            raise IntegrityError(
                f"`{tensor}` has codec `{entry.codec}` in the manifest, "
                f"but `{record.codec}` in the payload"
            )
        _check_claims(entry, reference, reader.stored_bytes(tensor))
        codec = CODECS.get(entry.codec)
        if codec is None:
            raise IntegrityError(
                f"`{tensor}` is encoded with `{entry.codec}`, an unknown codec",
                hint="install a newer version of skillpm",
            )
        adds_up = entry.change == "changed" and is_float(entry.dtype)
        if codec.lossy and not adds_up:
            message = (
                f"`{tensor}`: codec `{entry.codec}` is only for changed floating point tensors"
            )
            raise IntegrityError(message)
        return codec.open(entry.spec, reader, record.settings)


def _check_claims(entry: FootprintEntry, reference: TensorSpec | None, stored: int) -> None:
    """Check shape and dtype against the reference, and limit the growth of the tensor."""
    if (reference is None) != (entry.change == "added"):
        state = "does not have" if reference is None else "has"
        raise IntegrityError(
            f"`{entry.tensor}` is listed as {entry.change}, but the base {state} it"
        )
    if reference and entry.dtype != reference.dtype:
        raise IntegrityError(
            f"`{entry.tensor}` is {entry.dtype}, expected {reference.dtype} as in the base"
        )
    if reference and (entry.change == "changed") != (entry.shape == reference.shape):
        raise IntegrityError(
            f"`{entry.tensor}` is listed as {entry.change}, with shape {list(entry.shape)}; "
            f"the base has {list(reference.shape)}"
        )
    grown = dense_bytes(entry.dtype, entry.shape) - (reference.nbytes if reference else 0)
    if grown > BOMB_FLOOR + BOMB_RATIO * stored:
        raise IntegrityError(
            f"`{entry.tensor}` would grow by {grown} bytes from {stored} stored bytes: "
            f"the limit is {BOMB_RATIO} to 1"
        )
