"""Stage 4 of `pack`: encode the delta into layer files, decode them again and measure."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from skillpm.checkpoint.files import OpenFile
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.encoding.encode import (
    EncodedBlock,
    EncodingJob,
    blocks_of,
    encode_blocks,
    measure_pack,
    rounding_share,
)
from skillpm.delta.encoding.measured import MeasuredTensor
from skillpm.delta.encoding.schemes import Scheme
from skillpm.delta.tensors.pairing import Pair
from skillpm.flows.pack.layer_cache import KeptLayer, LayerCache
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.effect import PackEffect
from skillpm.spec.manifest import FootprintEntry
from skillpm.spec.merkle import Identity
from skillpm.store.blobs import HashingSink

_SPOOL = 8 << 20


@dataclass(frozen=True, slots=True)
class EncodedTensor:
    """One encoded tensor: its codec, the layer that contains it, and its bytes in the layer."""

    codec: str
    layer: Digest
    stored: int


@dataclass(frozen=True)
class Layers:
    """Encoded layers.

    `files` maps the digest of each layer to its file. `encoded` says which layer has each tensor.
    `draft` is the footprint without results.
    """

    files: Mapping[Digest, Path]
    encoded: Mapping[str, EncodedTensor]
    draft: Mapping[str, FootprintEntry]

    @property
    def size(self) -> int:
        """The bytes of all layers."""
        return sum(path.stat().st_size for path in self.files.values())

    def open(self, models: ModelPair) -> OpenPack:
        """Open the layers for decoding."""
        below = tuple(pack.manifest.skill for pack in models.reference.layered_on)
        skill = models.request.skill
        return OpenPack(skill, str(skill), self.draft, below, lambda d: OpenFile(self.files[d]))


@dataclass(frozen=True)
class SettledScheme:
    """The scheme that encodes a delta, and its layers if the search for it has encoded them."""

    scheme: Scheme
    layers: Layers | None = None


@dataclass(frozen=True)
class EncodedDelta:
    """The delta as layers, and what they decode to: leaf, error and sketch of each tensor.

    `rounding` is the error of `--cast` relative to the norm of the delta; None without a cast.
    `probed` is the effect on the probes, if it was measured.
    """

    scheme: Scheme
    layers: Layers
    measured: Mapping[str, MeasuredTensor]
    rounding: float | None = None
    probed: PackEffect | None = None

    @property
    def is_exact(self) -> bool:
        """Whether the layers decode to the tuned model."""
        return not any(tensor.error for tensor in self.measured.values())


def encode_delta(
    session: Session, models: ModelPair, settled: SettledScheme, folder: Path
) -> EncodedDelta:
    """Encode the delta by a scheme into layers below `folder`, decode them and measure the errors.

    Costs one read of the differing tensors to encode, and one to measure. Raises `GraftError` if
    the scheme cannot encode a tensor.
    """
    layers = settled.layers or encode_layers(session, models, settled.scheme, folder / "layers")
    checking = work_on(session, models, "checking")
    measured = measure_pack(checking, models.differing, layers.open(models))
    rounding = rounding_share(models.reference.source, models.tuned, models.pairs)
    return EncodedDelta(settled.scheme, layers, measured, rounding)


def work_on(session: Session, models: ModelPair, label: str) -> EncodingJob:
    """A job over both models, with a progress bar over the tensors that differ."""
    advance = session.progress(label, models.delta_bytes)
    return EncodingJob(models.reference.source, models.tuned, session.workers, advance)


def encode_layers(session: Session, models: ModelPair, scheme: Scheme, folder: Path) -> Layers:
    """Encode the delta into layer files in `folder`, which is created.

    Layers that a killed command encoded are not encoded again.
    """
    folder.mkdir()
    cache = LayerCache(session.home, models)
    cache.sweep(session)
    work, blocks = work_on(session, models, "encoding"), blocks_of(models.differing)
    paths = {name: folder / f"layer-{number}" for number, name in enumerate(blocks)}
    layers: dict[str, KeptLayer] = {}
    for name, pairs in blocks.items():
        kept = cache.restore(pairs, scheme, paths[name])
        if kept is not None:
            layers[name] = kept
            work.advance(sum(pair.tuned.nbytes for pair in pairs if pair.tuned))
    waiting = [pair for name, pairs in blocks.items() if name not in layers for pair in pairs]
    with ExitStack() as spools:  # closes the spools if an error occurs between two blocks
        for block in encode_blocks(work, waiting, scheme, partial(_spool, folder, spools)):
            name = block.name
            stored = {tensor: block.writer.stored_bytes(tensor) for tensor in block.codecs}
            layers[name] = KeptLayer(_write_layer(paths[name], block), block.codecs, stored)
            cache.save(blocks[name], scheme, paths[name], layers[name])
    return _collect(models, [(layers[name], paths[name]) for name in blocks])


def _collect(models: ModelPair, written: Sequence[tuple[KeptLayer, Path]]) -> Layers:
    """The layers of all blocks, in the order of the blocks."""
    files: dict[Digest, Path] = {}
    encoded: dict[str, EncodedTensor] = {}
    for layer, path in written:
        files[layer.digest] = path
        for tensor, codec in layer.codecs.items():
            encoded[tensor] = EncodedTensor(codec, layer.digest, layer.stored[tensor])
    base = models.reference.base.identity
    draft = {p.tensor: _draft_entry(p, base, encoded.get(p.tensor)) for p in models.differing}
    return Layers(files, encoded, draft)


def _draft_entry(pair: Pair, base: Identity, encoded: EncodedTensor | None) -> FootprintEntry:
    """The footprint entry of a tensor without its result, which is not known yet."""
    leaf = base.leaves.get(pair.tensor)
    if encoded is None:
        return pair.entry(leaf=leaf)
    return pair.entry(leaf=leaf, codec=encoded.codec, layer=encoded.layer)


def _spool(folder: Path, spools: ExitStack) -> BinaryIO:
    file = tempfile.SpooledTemporaryFile(_SPOOL, dir=str(folder))  # noqa: SIM115 - `spools` closes
    return cast("BinaryIO", spools.enter_context(file))


def _write_layer(path: Path, block: EncodedBlock) -> Digest:
    with path.open("xb") as file:
        sink = HashingSink(file)
        block.writer.write_to(sink)
    return sink.digest
