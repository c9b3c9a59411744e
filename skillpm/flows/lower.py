"""Packs by reference: from files, the store or a registry, with all that they lie over."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from skillpm.archive.reader import open_pack
from skillpm.delta.ports import ReadAt
from skillpm.errors import IntegrityError, NotFoundError, UnknownSkillError
from skillpm.flows.bound import registry_for
from skillpm.flows.setting import Setting
from skillpm.flows.sidefiles import SidePack
from skillpm.spec.compat import lower_closure
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest
from skillpm.spec.names import SkillName
from skillpm.spec.pack import read_side_file
from skillpm.spec.release import Release
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version
from skillpm.store.packs import fetch_pack, load_pack


class AnyPack(Protocol):
    """A pack in a file or in the store."""

    @property
    def digest(self) -> Digest:
        """Its identity."""
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


def find_pack(setting: Setting, ref: str) -> AnyPack:
    """The pack that a person names: a file, or the newest release that a requirement admits."""
    path = Path(ref)
    if path.suffix == ".skillpack" or path.is_file():
        return open_pack(path)
    need = parse_ref(ref)
    index = setting.connect(registry_for(setting, need.skill), False)
    releases = index.releases([need.skill]).get(need.skill, ())
    exact = need.range.text.startswith("=")
    fitting = [r for r in releases if r.version in need.range and (exact or not r.yanked)]
    if not fitting:
        raise UnknownSkillError(
            f"no release of `{need.skill}` fits `{ref}`",
            hint=f"`skillpm show {need.skill}` lists its releases",
        )
    digest = max(fitting, key=lambda release: release.version).digest
    assert digest is not None  # noqa: S101 - a registry's releases have one
    return fetch_pack(setting.store, digest, index)[0]


def parse_ref(ref: str) -> Requirement:
    """A release as people name it: in `acme/math@1.0.0` a bare version means exactly that one."""
    need = Requirement.parse(ref)
    bare = need.range.text[:1].isdigit()
    return Requirement.parse(f"{need.skill} ={need.range}") if bare else need


def with_lower(setting: Setting, packs: Iterable[AnyPack]) -> list[AnyPack]:
    """These packs and all that they lie over, each once, sorted by skill."""
    found = {pack.manifest.skill: pack for pack in packs}
    queue = list(found.values())
    while queue:
        for lower in queue.pop().manifest.over:
            if lower.skill not in found:
                pack = _by_digest(setting, lower.digest, lower.skill)
                found[lower.skill] = pack
                queue.append(pack)
    return [found[skill] for skill in sorted(found)]


def _by_digest(setting: Setting, digest: Digest, skill: SkillName) -> AnyPack:
    try:
        return load_pack(setting.store, digest)
    except NotFoundError:
        index = setting.connect(registry_for(setting, skill), False)
    try:
        return fetch_pack(setting.store, digest, index)[0]
    except NotFoundError as problem:
        raise UnknownSkillError(
            f"the pack lies over `{skill}` `{digest}`, which no registry in reach has",
            hint="publish that pack first, or name its registry with `--registry`",
        ) from problem


def side_packs(packs: Iterable[AnyPack]) -> list[SidePack]:
    """The parsed side files of packs."""
    packs = list(packs)
    below = lower_closure({p.manifest.skill: [o.skill for o in p.manifest.over] for p in packs})
    return [SidePack(p.manifest.skill, _side_files(p), below[p.manifest.skill]) for p in packs]


def _side_files(pack: AnyPack) -> tuple[Any, ...]:
    return tuple(
        (file, read_side_file(file, pack.read(file.digest))) for file in pack.manifest.files
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
