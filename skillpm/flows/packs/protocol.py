"""Packs from wherever they lie: what every flow may ask of one."""

from collections.abc import Iterable
from typing import Any, Protocol

from skillpm.delta.tensors.ports import ReadAt
from skillpm.errors import IntegrityError
from skillpm.flows.packs.side_files import PackSideFiles
from skillpm.spec.compat import layer_closure
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
        """Its identity."""
        ...

    @property
    def image(self) -> PackImage:
        """Its OCI manifest."""
        ...

    @property
    def manifest(self) -> Manifest:
        """Its manifest, verified."""
        ...

    @property
    def size(self) -> int:
        """The bytes of all its blobs."""
        ...

    def open_layer(self, digest: Digest) -> ReadAt:
        """A layer by byte range, hashed."""
        ...

    def read(self, digest: Digest) -> bytes:
        """A small blob whole, hashed."""
        ...


def side_packs(packs: Iterable[AnyPack]) -> list[PackSideFiles]:
    """The parsed side files of packs."""
    packs = list(packs)
    below = layer_closure({p.manifest.skill: [o.skill for o in p.manifest.over] for p in packs})
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
    """The pack, if it is of this release. Raises `IntegrityError` where it is of another."""
    if (pack.manifest.skill, pack.manifest.version) != (skill, version):
        raise IntegrityError(
            f"`{skill}` {version} should be `{pack.digest}`, but that is {pack.manifest.ref}",
            hint="`skillpm lock` locks it again",
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
