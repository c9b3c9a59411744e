"""`cache`: measure the home, verify the blobs of the store, and repair damaged blobs."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from skillpm.environment.known_projects import KnownProjects
from skillpm.environment.project import ProjectFolder
from skillpm.errors import SkillpmError
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.cleanup import clean_up
from skillpm.flows.session.session import Session
from skillpm.flows.upkeep.expiry import CACHE_DAYS, age_out, size_of
from skillpm.flows.upkeep.reachability import NeededPack, Reached, needs_of, reach
from skillpm.spec.digests import Digest
from skillpm.spec.transfer_sources import FOLDER as TRANSFERS
from skillpm.store.packs import fetch_pack


@dataclass(frozen=True)
class SkillSize:
    """The bytes of one release in the store; `own` are those of blobs that no other release has."""

    ref: str
    digest: Digest
    size: int
    own: int


@dataclass(frozen=True)
class CacheInfo:
    """The bytes in the home, by purpose and by release.

    `unreachable` are the bytes of blobs that no known project needs.
    """

    home: Path
    sizes: Mapping[str, int]
    blobs: int
    unreachable: int
    skills: tuple[SkillSize, ...]


def cache_info(session: Session) -> CacheInfo:
    """Measure the home. Writes nothing, and hashes only the documents of packs."""
    home, store = session.home, session.store
    sizes = {
        "store": size_of(home, "store", "sha256"),
        **{name: size_of(home, "cache", name) for name in CACHE_DAYS},
        "staging": size_of(home, "store", "tmp") + size_of(home, "tmp"),
        "registry": size_of(home, "registry"),
        "transfers": size_of(home, TRANSFERS),
    }
    reached = _reached(session)[1]
    stored = {digest: store.size_of(digest) for digest in store.blobs()}
    unneeded = sum(size for digest, size in stored.items() if digest not in reached.blobs)
    skills = [_skill_size(digest, name, reached, stored) for digest, name in reached.names.items()]
    skills.sort(key=lambda skill: (skill.ref, skill.digest))
    return CacheInfo(home, sizes, len(stored), unneeded, tuple(skills))


def _skill_size(
    pack: Digest, ref: str, reached: Reached, stored: Mapping[Digest, int]
) -> SkillSize:
    blobs = [blob for blob, packs in reached.blobs.items() if pack in packs]
    own = sum(stored.get(blob, 0) for blob in blobs if reached.blobs[blob] == {pack})
    return SkillSize(ref, pack, sum(stored.get(blob, 0) for blob in blobs), own)


def _reached(session: Session) -> tuple[dict[NeededPack, Path], Reached]:
    """The packs of all known projects, each with a project that needs it, and their blobs."""
    roots: dict[NeededPack, Path] = {}
    packs: set[Digest] = set()
    for known in KnownProjects(session.home):
        needs = needs_of(known)
        packs |= needs.packs
        roots |= dict.fromkeys(needs.roots, known.folder)
    with suppress(SkillpmError):  # the current project may not be a known project yet
        here = ProjectFolder(session.project)
        roots |= {
            NeededPack(s.digest, s.ref, s.registry): here.folder for s in here.generation().skills
        }
    return roots, reach(session.store, packs | {root.digest for root in roots})


@dataclass(frozen=True)
class Damage:
    """A blob whose content does not match its digest, and the releases that need it."""

    digest: Digest
    skills: tuple[str, ...]
    repaired: bool
    problem: str | None


@dataclass(frozen=True)
class CacheVerified:
    """The result of hashing every blob: how many, their bytes, and the damaged ones."""

    checked: int
    size: int
    damage: tuple[Damage, ...]

    @property
    def holds(self) -> bool:
        """Whether no blob is damaged any more."""
        return all(damage.repaired for damage in self.damage)


def cache_verify(session: Session, *, repair: bool) -> CacheVerified:
    """Hash every blob of the store, even if it was hashed before; with `repair`, repair the store.

    A damaged blob that a project needs is fetched again from the registry that the lock names, and
    replaced in one step. A damaged blob that no project needs is removed.
    """
    if repair:
        clean_up(session)
    store = session.store
    sizes = {digest: store.size_of(digest) for digest in store.blobs()}
    advance = session.progress("hashing blobs", sum(sizes.values()))
    damaged = []
    for digest, size in sizes.items():
        if not store.is_whole(digest):
            damaged.append(digest)
        advance(size)
    roots, reached = _reached(session)
    problems: dict[Digest, str] = {}
    if repair and damaged:
        problems = _fetch_again(session, roots, [*damaged, *reached.damaged])
        roots, reached = _reached(session)
        with store.alone():
            for digest in damaged:
                if digest not in reached.blobs and not store.is_whole(digest):
                    store.remove(digest)
    names = {root.digest: root.ref for root in roots} | reached.names
    damage = [_damage(session, digest, (reached, names), problems) for digest in damaged]
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
    problem = next((problems[pack] for pack in packs if pack in problems), None)
    return Damage(digest, skills, repaired, None if repaired else problem)


def _fetch_again(
    session: Session, roots: Mapping[NeededPack, Path], damaged: list[Digest]
) -> dict[Digest, str]:
    """Fetch damaged blobs again from the registry of their pack; return the errors by pack."""
    store, problems = session.store, dict[Digest, str]()
    for root in sorted(roots):
        blobs = reach(store, [root.digest]).blobs
        if not any(digest in blobs for digest in damaged):
            continue
        in_project = replace(session, project=roots[root])
        try:
            file = ProjectFolder(roots[root]).read_file()
            index = Registries(in_project, file).index(root.registry)
            fetch_pack(store, root.digest, index)
        except SkillpmError as problem:
            problems[root.digest] = problem.message
    return problems


def cache_clean(session: Session) -> int:
    """Remove everything that can be computed again; return the bytes removed."""
    clean_up(session)
    home = session.home
    return sum(
        age_out(home, "cache", name, before=inf, now=inf, dry_run=False) for name in CACHE_DAYS
    )
