"""`gc`: prune old generations, then remove the blobs that nothing needs any more.

Projects are pruned one by one, each under its own lock. Then, with the store to itself, gc asks all
known projects what they need, follows their packs to blobs, and removes the others. A kill leaves
fewer blobs that nobody needs, and nothing else: every removal is one step, and whole in itself.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from skillpm.environment.known import KnownProject, KnownProjects
from skillpm.environment.project import ProjectFolder
from skillpm.environment.prune import Keeping, prune
from skillpm.environment.transaction import writing
from skillpm.errors import SkillpmError
from skillpm.flows.session.cleanup import clean_up
from skillpm.flows.session.session import Session
from skillpm.flows.upkeep.expiry import age_out
from skillpm.flows.upkeep.reachability import needs_of, reach
from skillpm.journal.lock import abandoned
from skillpm.spec.digests import Digest
from skillpm.spec.words import counted
from skillpm.store.blobs import Store

GRACE_HOURS = 24.0
LEAF_DAYS = 90.0
SURVEY_DAYS = 7.0
_HOUR, _DAY = 3600.0, 86_400.0


@dataclass(frozen=True)
class GcRequest:
    """What may go: by generations, and by the age of blobs."""

    keeping: Keeping
    grace_hours: float = GRACE_HOURS
    dry_run: bool = False
    forget: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Pruned:
    """A generation whose packs may go."""

    project: Path
    number: int


@dataclass(frozen=True)
class BlobTotals:
    """Blobs, and their bytes."""

    blobs: int = 0
    size: int = 0

    def plus(self, size: int) -> "BlobTotals":
        """With one more."""
        return replace(self, blobs=self.blobs + 1, size=self.size + size)


@dataclass
class Collected:
    """What went, or would go: blobs and cached files; what stayed, and what stayed for its age."""

    freed: BlobTotals = field(default_factory=BlobTotals)
    kept: BlobTotals = field(default_factory=BlobTotals)
    young: BlobTotals = field(default_factory=BlobTotals)
    cache_bytes: int = 0
    pruned: list[Pruned] = field(default_factory=list)
    projects: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def collect(session: Session, request: GcRequest) -> Collected:
    """Remove what no kept generation and no lock of any known project needs."""
    if not request.dry_run:
        clean_up(session)
    done, known = Collected(), KnownProjects(session.home)
    _know(session, known, request, done)
    going: dict[Path, list[int]] = {}
    for one in known:
        going[one.folder] = _prune(session, one, request, done)
    with nullcontext() if request.dry_run else session.store.alone():
        packs = _needed(known, going if request.dry_run else {}, done, dry_run=request.dry_run)
        _sweep(session, request, packs, done)
    _clean(session, request, done)
    return done


def _know(session: Session, known: KnownProjects, request: GcRequest, done: Collected) -> None:
    """The project that gc runs in is known from now on; projects that are gone are not."""
    if request.dry_run:
        return
    here = ProjectFolder(session.project)
    if here.has_file and here.folder.resolve() not in {one.folder for one in known}:
        known.remember(here.folder, ())
    for folder in request.forget:
        if not known.forget(folder.resolve()):
            done.notes.append(f"`{folder}` was no known project")
    for one in list(known):
        if one.presence() == "gone":
            done.notes.append(f"`{one.folder}` is gone: its packs are needed no more")
            known.forget(one.folder)


def _prune(session: Session, one: KnownProject, request: GcRequest, done: Collected) -> list[int]:
    """Prune the old generations of one project; one that is in use keeps them all.

    Where a process died with the project's lock, its name goes too, perhaps an earlier gc's.
    """
    project = ProjectFolder(one.folder)
    if not one.own or one.presence() != "here":
        return []
    found: list[int] = []
    try:
        if _has_work(session, project, request):
            with (
                nullcontext()
                if request.dry_run
                else writing(project, "gc", timeout=0, say=done.notes.append, home=session.home)
            ):
                done.notes.extend(_ahead(session, project, request))
                for generation in list(request.keeping.prunable(project, session.now)):
                    if not request.dry_run:
                        prune(project, generation, session.now)
                    found.append(generation.number)
    except (SkillpmError, OSError) as problem:
        done.notes.append(f"`{one.folder}` keeps all its generations: {problem}")
    done.pruned.extend(Pruned(one.folder, number) for number in found)
    return found


def _ahead(session: Session, project: ProjectFolder, request: GcRequest) -> Iterator[str]:
    """A note on each generation that is kept because its time is still to come."""
    for generation in request.keeping.ahead(project, session.now):
        yield (
            f"generation {generation.number} of `{project.folder}` is dated {generation.created}, "
            "which is still to come: the one before it is kept; `skillpm gc --keep N` prunes by "
            "number alone"
        )


def _has_work(session: Session, project: ProjectFolder, request: GcRequest) -> bool:
    if not project.has_environment:
        return False
    with project.open_state() as state:
        keeping, now = request.keeping, session.now
        work = any(keeping.prunable(project, now)) or any(keeping.ahead(project, now))
        return work or abandoned(state)


def _needed(
    known: KnownProjects, going: dict[Path, list[int]], done: Collected, *, dry_run: bool
) -> set[Digest]:
    packs: set[Digest] = set()
    for one in known:
        presence = one.presence()
        if presence == "gone":  # only in a dry run: else it is forgotten by now
            done.notes.append(f"`{one.folder}` is gone: its packs are needed no more")
            continue
        needs = needs_of(one, going.get(one.folder, ()))
        if presence == "away":
            done.notes.append(
                f"`{one.folder}` cannot be seen, and may lie on a disk that is not mounted: its "
                f"packs are kept (`skillpm gc --forget {one.folder}` lets them go)"
            )
        done.projects.append(one.folder)
        done.notes.extend(needs.notes)
        packs |= needs.packs
        if presence == "here" and one.own and not needs.notes and not dry_run:
            known.remember(one.folder, needs.packs, exact=True)
    return packs


def _sweep(session: Session, request: GcRequest, packs: set[Digest], done: Collected) -> None:
    store = session.store
    reached = reach(store, packs)
    for digest, why in reached.damaged.items():
        done.notes.append(
            f"pack `{digest}` is damaged, so nothing tells which blobs it needs: no blob is "
            f"removed; `skillpm cache verify --repair` mends it ({why})"
        )
    now, ahead = session.now.timestamp(), list[float]()
    for digest, size, changed in _sizes(store):
        if changed > now + _HOUR:
            ahead.append(changed)
            if not request.dry_run:
                store.redate(digest, now)
        young = max(0.0, now - changed) < request.grace_hours * _HOUR
        if digest in reached.blobs or reached.damaged:
            done.kept = done.kept.plus(size)
        elif young:
            done.young = done.young.plus(size)
        else:
            done.freed = done.freed.plus(size)
            if not request.dry_run:
                store.remove(digest)
    if ahead:
        done.notes.append(
            f"{counted(len(ahead), 'blob')} dated in the future, up to {_day(max(ahead))}: a "
            f"clock was wrong, here or there; they count as new, and the next `skillpm gc` after "
            f"{request.grace_hours:g} hours may take those that nothing needs"
        )


def _day(seconds: float) -> str:
    """A time of a file as a date; a year is enough beyond what Python writes."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "a year after 9999"


def _sizes(store: Store) -> Iterator[tuple[Digest, int, float]]:
    for digest in store.blobs():
        status = store.status(digest)
        yield digest, *((status.st_size, status.st_mtime) if status else (0, 0.0))


def _clean(session: Session, request: GcRequest, done: Collected) -> None:
    """Cached leaves, surveys and measurements that were long not used."""
    now = session.now.timestamp()
    for name, days in (("leaves", LEAF_DAYS), ("surveys", SURVEY_DAYS), ("measures", LEAF_DAYS)):
        before = now - days * _DAY
        done.cache_bytes += age_out(
            session.home, "cache", name, before=before, now=now, dry_run=request.dry_run
        )
