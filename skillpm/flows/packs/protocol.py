"""The interface that packs in files and packs in the store share."""

from collections.abc import Iterable
from typing import Any, Protocol

from skillpm.delta.tensors.ports import ReadAt
from skillpm.errors import IntegrityError
from skillpm.flows.packs.side_files import PackSideFiles
from skillpm.spec.closure import layer_closure
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest
from skillpm.spec.names import SkillName
from skillpm.spec.oci import PackImage
from skillpm.spec.pack import read_side_file
from skillpm.spec.release import Release
from skillpm.spec.sidefiles import REMOVED
from skillpm.spec.versions import Version


class AnyPack(Protocol):
    """A pack in a file or in the store."""

    @property
    def digest(self) -> Digest:
        """The digest of the OCI manifest, which identifies the pack."""
        ...

    @property
    def image(self) -> PackImage:
        """The OCI manifest."""
        ...

    @property
    def manifest(self) -> Manifest:
        """The manifest, parsed and verified."""
        ...

    @property
    def size(self) -> int:
        """The bytes of all its blobs."""
        ...

    @property
    def file_size(self) -> int:
        """The bytes of its file; for a pack in the store, which is no file, `size`."""
        ...

    def open_layer(self, digest: Digest) -> ReadAt:
        """Open a layer for reads by byte range. Its bytes are verified by their hash."""
        ...

    def read(self, digest: Digest) -> bytes:
        """The content of a small blob, verified by its hash."""
        ...


def side_packs(packs: Iterable[AnyPack]) -> list[PackSideFiles]:
    """The parsed side files of packs, each with the skills that the pack is layered on."""
    packs = list(packs)
    layers = {p.manifest.skill: [layer.skill for layer in p.manifest.over] for p in packs}
    below = layer_closure(layers)
    return [PackSideFiles(p.manifest.skill, _side_files(p), below[p.manifest.skill]) for p in packs]


def _side_files(pack: AnyPack) -> tuple[Any, ...]:
    facts = pack.manifest.architecture_facts
    return tuple(
        (
            file,
            None if file.kind == REMOVED else read_side_file(file, pack.read(file.digest), facts),
        )
        for file in pack.manifest.files
    )


def check_is(pack: AnyPack, skill: SkillName, version: Version) -> AnyPack:
    """Return the pack if it is this release. Raises `IntegrityError` if it is another one."""
    if (pack.manifest.skill, pack.manifest.version) != (skill, version):
        raise IntegrityError(
            f"`{skill}` {version} should be `{pack.digest}`, but that is {pack.manifest.ref}",
            hint="to write the lock again: `skillpm lock`",
        )
    return pack


def release_of(pack: AnyPack) -> Release:
    """A pack as an index would list it."""
    manifest = pack.manifest
    return Release(
        skill=manifest.skill,
        version=manifest.version,
        digest=pack.digest,
        size=pack.size,
        base=manifest.base.root,
        requires=tuple(manifest.requires),
        conflicts=tuple(manifest.conflicts),
        summary=manifest.summary,
        license=manifest.license,
        created=manifest.created,
        scheme=manifest.compression.scheme,
        payload_bytes=manifest.compression.payload_bytes,
    )
