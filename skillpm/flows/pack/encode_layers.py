"""Encode a delta into layer files, and measure the error of the decoded delta."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from skillpm.checkpoint.files import OpenFile
from skillpm.delta.coding.payload import PayloadReader
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.encoding.encode import EncodedBlock, EncodingJob, encode_blocks, measure_pack
from skillpm.delta.encoding.schemes import Scheme
from skillpm.flows.pack.manifest import (
    EncodedDelta,
    EncodedTensor,
    ModelPair,
    PackRequest,
    draft_entries,
)
from skillpm.flows.pack.side_files import side_files
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import FootprintEntry
from skillpm.store.blobs import HashingSink

_SPOOL = 8 << 20


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

    def open(self, request: PackRequest, models: ModelPair) -> OpenPack:
        """Open the layers for decoding."""
        below = tuple(pack.manifest.skill for pack in models.reference.layered_on)
        name = str(request.skill)
        return OpenPack(request.skill, name, self.draft, below, lambda d: OpenFile(self.files[d]))


def delta_bytes(models: ModelPair) -> int:
    """The bytes of all differing tensors of the tuned model, dense, in their stored dtype."""
    return sum(pair.tuned.nbytes for pair in models.differing if pair.tuned)


def work_on(session: Session, models: ModelPair, label: str) -> EncodingJob:
    """A job over both models, with a progress bar over the tensors that differ."""
    advance = session.progress(label, delta_bytes(models))
    return EncodingJob(models.reference.source, models.tuned, session.workers, advance)


def encode_layers(session: Session, models: ModelPair, scheme: Scheme, folder: Path) -> Layers:
    """Encode the delta into layer files in `folder`, which is created."""
    folder.mkdir()
    work = work_on(session, models, "encoding")
    files: dict[Digest, Path] = {}
    encoded: dict[str, EncodedTensor] = {}
    with ExitStack() as spools:  # closes the spools if an error occurs between two blocks
        spool = partial(_spool, folder, spools)
        for block in encode_blocks(work, models.differing, scheme, spool):
            staged = folder / f"layer-{len(files)}"
            digest = _write_layer(staged, block)
            stored = PayloadReader(OpenFile(staged), block.name).stored_bytes
            files[digest] = staged
            for tensor, codec in block.codecs.items():
                encoded[tensor] = EncodedTensor(codec, digest, stored(tensor))
    draft = draft_entries(models.differing, models.reference.base_identity, encoded)
    return Layers(files, encoded, draft)


def measure(
    session: Session, request: PackRequest, models: ModelPair, layers: Layers
) -> EncodedDelta:
    """Decode the layers again, and measure the results."""
    checking = work_on(session, models, "checking")
    measured = measure_pack(checking, models.differing, layers.open(request, models))
    side = side_files(models)
    return EncodedDelta(layers.draft, layers.encoded, layers.files, measured, side)


def _spool(folder: Path, spools: ExitStack) -> BinaryIO:
    file = tempfile.SpooledTemporaryFile(_SPOOL, dir=str(folder))  # noqa: SIM115 - `spools` closes
    return cast("BinaryIO", spools.enter_context(file))


def _write_layer(path: Path, block: EncodedBlock) -> Digest:
    with path.open("xb") as file:
        sink = HashingSink(file)
        block.writer.write_to(sink)
    return sink.digest
