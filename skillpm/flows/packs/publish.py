"""`publish`, `yank`, `unyank`, `search`, `show`: the commands on a registry."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from skillpm.archive.reader import open_pack
from skillpm.errors import UnknownSkillError, UsageError
from skillpm.files.hashing import CountingStream
from skillpm.flows.packs.find import parse_ref
from skillpm.flows.packs.protocol import AnyPack, check_is
from skillpm.flows.packs.registries import nearest_skill
from skillpm.flows.session.bindings import registry_for
from skillpm.flows.session.cleanup import clean_up
from skillpm.flows.session.session import Session
from skillpm.parallel import Advance, no_advance
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.store.packs import read_documents


@dataclass(frozen=True)
class PublishedPack:
    """A release, its registry, and whether it was `created` or existed there already."""

    release: Release
    registry: RegistryLocation
    created: bool


def publish(session: Session, path: Path) -> PublishedPack:
    """Verify a pack file and publish it. If this fails, the registry is unchanged."""
    clean_up(session)
    pack = open_pack(path)
    url = registry_for(session, pack.manifest.skill, makes=True)
    index = session.connect(url, True)
    advance = no_advance if url.folder else session.progress("publishing", pack.size)
    open_blob = partial(_counted, pack.open_blob, advance)
    published = index.publish(pack.image_bytes, open_blob, now=session.now)
    return PublishedPack(published.release, url, published.created)


def _counted(open_blob: Callable[[Digest], BinaryIO], advance: Advance, digest: Digest) -> BinaryIO:
    """A blob whose bytes are counted when they are read."""
    return cast(BinaryIO, CountingStream(open_blob(digest), advance))


def yank(session: Session, ref: str, reason: str) -> Release:
    """Hide a release from new resolutions. Existing locks can still install it."""
    clean_up(session)
    release, others = _one_release(session, ref)
    index = session.connect(registry_for(session, release.skill), False)
    changed = index.yank(release.skill, release.version, reason=reason, now=session.now)
    session.states.record({release.skill: [*others, changed]})
    return changed


def unyank(session: Session, ref: str) -> Release:
    """Undo `yank`."""
    clean_up(session)
    release, others = _one_release(session, ref)
    index = session.connect(registry_for(session, release.skill), False)
    changed = index.unyank(release.skill, release.version)
    session.states.record({release.skill: [*others, changed]})
    return changed


def _one_release(session: Session, ref: str) -> tuple[Release, list[Release]]:
    """The release that `acme/math@1.0.0` names, and the other releases of its skill."""
    need = parse_ref(ref)
    releases = show(session, need.skill)
    matching = [release for release in releases if release.version in need.range]
    if len(matching) > 1:
        raise UsageError(
            f"`{ref}` matches {len(matching)} releases of `{need.skill}`; expected exactly one",
            hint=f"the newest is `{need.skill}@{matching[-1].version}`",
        )
    if not matching:
        raise UnknownSkillError(
            f"there is no release `{ref}`",
            hint=f"to list its releases: `skillpm show {need.skill}`",
        )
    return matching[0], [release for release in releases if release is not matching[0]]


@dataclass(frozen=True)
class ReleaseDetails:
    """A release, its registry, and the documents of its pack, whose payload may not be stored.

    `pack` is None for a quarantined release, because its registry gives out no bytes of it.
    """

    release: Release
    registry: RegistryLocation
    pack: AnyPack | None


def show_release(session: Session, ref: str) -> ReleaseDetails:
    """A release with its manifest, from the registry. Fetches no payload and writes no blob.

    A range names the newest release in it that is not yanked, or else the newest one.
    """
    need = parse_ref(ref)
    releases = [r for r in show(session, need.skill) if r.version in need.range]
    if not releases:
        raise UnknownSkillError(
            f"there is no release `{ref}`",
            hint=f"to list its releases: `skillpm show {need.skill}`",
        )
    release = max(releases, key=lambda r: (not r.yanked, r.version))
    location = registry_for(session, release.skill)
    if release.quarantined or release.digest is None:
        return ReleaseDetails(release, location, None)
    index = session.connect(location, False)
    pack = read_documents(session.store, release.digest, index)
    return ReleaseDetails(release, location, check_is(pack, release.skill, release.version))


def search(session: Session, text: str) -> list[Release]:
    """The latest release of each skill that matches all words."""
    return session.connect(registry_for(session, None), False).search(text)


def show(session: Session, skill: SkillName) -> list[Release]:
    """All releases of a skill, oldest first."""
    url = registry_for(session, skill)
    index = session.connect(url, False)
    releases = index.releases([skill]).get(skill)
    if not releases:
        raise UnknownSkillError(
            f"there is no skill `{skill}` in `{url}`",
            hint=nearest_skill(skill, index.skills()),
        )
    session.states.record({skill: releases})
    return sorted(releases, key=lambda release: release.version)
