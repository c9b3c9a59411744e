"""Encoding a delta into layer files, and measuring what they decode to."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from skillpm.checkpoint.files import OpenFile
from skillpm.delta.apply.open_pack import OpenPack
from skillpm.delta.coding.payload import PayloadReader
from skillpm.delta.encode.encode import EncodedBlock, EncodingJob, encode_blocks, measure_pack
from skillpm.delta.encode.schemes import Scheme
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
    """Layer files, what lies in each, and the footprint before its results are known."""

    files: Mapping[Digest, Path]
    encoded: Mapping[str, EncodedTensor]
    draft: Mapping[str, FootprintEntry]

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(path.stat().st_size for path in self.files.values())

    def open(self, request: PackRequest, against: ModelPair) -> OpenPack:
        """The layers as a pack that decodes."""
        below = tuple(each.manifest.skill for each in against.reference.lower)
        name = str(request.skill)
        return OpenPack(request.skill, name, self.draft, below, lambda d: OpenFile(self.files[d]))


def delta_bytes(against: ModelPair) -> int:
    """The footprint, dense, in the dtype that is stored."""
    return sum(pair.tuned.nbytes for pair in against.differing if pair.tuned)


def work_on(session: Session, against: ModelPair, label: str) -> EncodingJob:
    """Both sides, and a progress bar over the tensors that differ."""
    advance = session.progress(label, delta_bytes(against))
    return EncodingJob(against.reference.source, against.tuned, session.workers, advance)


def encode_layers(session: Session, against: ModelPair, scheme: Scheme, folder: Path) -> Layers:
    """Encode into layer files under `folder`, which is made."""
    folder.mkdir()
    work = work_on(session, against, "encoding")
    files: dict[Digest, Path] = {}
    encoded: dict[str, EncodedTensor] = {}
    with ExitStack() as spools:  # an error between two blocks leaves some open
        spool = partial(_spool, folder, spools)
        for block in encode_blocks(work, against.differing, scheme, spool):
            staged = folder / f"layer-{len(files)}"
            digest = _write_layer(staged, block)
            stored = PayloadReader(OpenFile(staged), block.name).stored_bytes
            files[digest] = staged
            for tensor, codec in block.codecs.items():
                encoded[tensor] = EncodedTensor(codec, digest, stored(tensor))
    draft = draft_entries(against.differing, against.reference.base_identity, encoded)
    return Layers(files, encoded, draft)


def measure(
    session: Session, request: PackRequest, against: ModelPair, layers: Layers
) -> EncodedDelta:
    """Decode the layers again; measure what came out."""
    checking = work_on(session, against, "checking")
    measured = measure_pack(checking, against.differing, layers.open(request, against))
    side = side_files(against)
    return EncodedDelta(layers.draft, layers.encoded, layers.files, measured, side)


def _spool(folder: Path, spools: ExitStack) -> BinaryIO:
    file = tempfile.SpooledTemporaryFile(_SPOOL, dir=str(folder))  # noqa: SIM115 - `spools` closes
    return cast("BinaryIO", spools.enter_context(file))


def _write_layer(path: Path, block: EncodedBlock) -> Digest:
    with path.open("xb") as file:
        sink = HashingSink(file)
        block.writer.write_to(sink)
    return sink.digest
