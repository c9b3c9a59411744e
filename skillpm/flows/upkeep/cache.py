"""`cache`: how much the home holds, whether its blobs are whole, and mending those that are not."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from skillpm.environment.known import KnownProjects
from skillpm.environment.project import ProjectFolder
from skillpm.errors import SkillpmError
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.cleanup import clean_up
from skillpm.flows.session.session import Session
from skillpm.flows.upkeep.expiry import age_out, size_of
from skillpm.flows.upkeep.reachability import NeededPack, Reached, needs_of, reach
from skillpm.spec.digests import Digest
from skillpm.store.packs import fetch_pack

_CACHES = ("leaves", "surveys", "measures")


@dataclass(frozen=True)
class SkillSize:
    """The bytes of one release in the store; `own` are those that no other release shares."""

    ref: str
    digest: Digest
    size: int
    own: int


@dataclass(frozen=True)
class CacheInfo:
    """Bytes by what they are for, and by release."""

    home: Path
    sizes: Mapping[str, int]
    blobs: int
    unreachable: int
    skills: tuple[SkillSize, ...]


def cache_info(session: Session) -> CacheInfo:
    """Measure the home. Writes nothing; hashes documents alone."""
    home, store = session.home, session.store
    sizes = {
        "store": size_of(home, "store", "sha256"),
        **{name: size_of(home, "cache", name) for name in _CACHES},
        "staging": size_of(home, "store", "tmp") + size_of(home, "tmp"),
        "registry": size_of(home, "registry"),
    }
    reached = _reached(session)[1]
    held = {digest: store.size_of(digest) for digest in store.blobs()}
    loose = sum(size for digest, size in held.items() if digest not in reached.blobs)
    skills = [_skill_size(digest, name, reached, held) for digest, name in reached.names.items()]
    skills.sort(key=lambda one: (one.ref, one.digest))
    return CacheInfo(home, sizes, len(held), loose, tuple(skills))


def _skill_size(pack: Digest, ref: str, reached: Reached, held: Mapping[Digest, int]) -> SkillSize:
    mine = [blob for blob, packs in reached.blobs.items() if pack in packs]
    own = sum(held.get(blob, 0) for blob in mine if reached.blobs[blob] == {pack})
    return SkillSize(ref, pack, sum(held.get(blob, 0) for blob in mine), own)


def _reached(session: Session) -> tuple[dict[NeededPack, Path], Reached]:
    """The packs of all known projects, with a project that needs each; and their blobs."""
    roots: dict[NeededPack, Path] = {}
    packs: set[Digest] = set()
    for one in KnownProjects(session.home):
        needs = needs_of(one)
        packs |= needs.packs
        roots |= dict.fromkeys(needs.roots, one.folder)
    with suppress(SkillpmError):  # where gc was never told of this project
        here = ProjectFolder(session.project)
        roots |= {
            NeededPack(s.digest, s.ref, s.registry): here.folder for s in here.generation().skills
        }
    return roots, reach(session.store, packs | {root.digest for root in roots})


@dataclass(frozen=True)
class Damage:
    """A blob that is not what its name says, and the releases that need it."""

    digest: Digest
    skills: tuple[str, ...]
    repaired: bool
    problem: str | None


@dataclass(frozen=True)
class CacheVerified:
    """Every blob was hashed; what was wrong."""

    checked: int
    size: int
    damage: tuple[Damage, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong any more."""
        return all(one.repaired for one in self.damage)


def cache_verify(session: Session, *, repair: bool) -> CacheVerified:
    """Hash every blob of the store, whatever was hashed before; with `repair`, mend it.

    A damaged blob that a project needs is fetched again, from the registry that its lock names, and
    replaced in one step; one that nothing needs is removed.
    """
    if repair:
        clean_up(session)
    store = session.store
    sizes = {digest: store.size_of(digest) for digest in store.blobs()}
    advance = session.progress("hashing blobs", sum(sizes.values()))
    bad = []
    for digest, size in sizes.items():
        if not store.is_whole(digest):
            bad.append(digest)
        advance(size)
    roots, reached = _reached(session)
    problems: dict[Digest, str] = {}
    if repair and bad:
        problems = _fetch_again(session, roots, [*bad, *reached.damaged])
        roots, reached = _reached(session)
        with store.alone():
            for digest in bad:
                if digest not in reached.blobs and not store.is_whole(digest):
                    store.remove(digest)
    names = {root.digest: root.ref for root in roots} | reached.names
    damage = [_damage(session, one, (reached, names), problems) for one in bad]
    return CacheVerified(len(sizes), sum(sizes.values()), tuple(damage))


def _damage(
    session: Session,
    digest: Digest,
    needed: tuple[Reached, Mapping[Digest, str]],
    problems: Mapping[Digest, str],
) -> Damage:
    reached, names = needed
    packs = sorted(reached.blobs.get(digest, ()))
    skills = tuple(sorted({names.get(pack, str(pack)) for pack in packs}))
    store = session.store
    repaired = store.is_whole(digest) or not (packs or store.status(digest))
    why = next((problems[pack] for pack in packs if pack in problems), None)
    return Damage(digest, skills, repaired, None if repaired else why)


def _fetch_again(
    session: Session, roots: Mapping[NeededPack, Path], bad: list[Digest]
) -> dict[Digest, str]:
    """Replace damaged blobs, each from the registry of its pack; say what could not be had."""
    store, problems = session.store, dict[Digest, str]()
    for root in sorted(roots):
        blobs = reach(store, [root.digest]).blobs
        if not any(digest in blobs for digest in bad):
            continue
        there = replace(session, project=roots[root])
        try:
            index = Registries(there, ProjectFolder(roots[root]).read_file()).index(root.registry)
            fetch_pack(store, root.digest, index)
        except SkillpmError as problem:
            problems[root.digest] = problem.message
    return problems


def cache_clean(session: Session) -> int:
    """Remove what can be computed again: leaves, surveys, measurements; return their bytes."""
    clean_up(session)
    home = session.home
    return sum(age_out(home, "cache", name, before=inf, now=inf, dry_run=False) for name in _CACHES)
