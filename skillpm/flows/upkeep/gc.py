"""`gc`: prune old generations, then remove the blobs that no known project needs.

Projects are pruned one after another, each under its own lock. Then, under the store's lock, gc
collects the packs that all known projects need, finds the blobs of these packs, and removes all
other blobs. Each removal is a single step. So a killed `gc` has only removed fewer blobs.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from skillpm.environment.known_projects import KnownProject, KnownProjects
from skillpm.environment.project import ProjectFolder
from skillpm.environment.prune import Keeping, prune
from skillpm.environment.transaction import writing
from skillpm.errors import SkillpmError
from skillpm.flows.session.cleanup import clean_up
from skillpm.flows.session.session import Session
from skillpm.flows.upkeep.expiry import CACHE_DAYS, age_out
from skillpm.flows.upkeep.reachability import needs_of, reach
from skillpm.flows.upkeep.transfers import remove_transfers, unused_transfers
from skillpm.journal.lock import abandoned
from skillpm.spec.digests import Digest
from skillpm.spec.words import counted
from skillpm.store.blobs import Store

GRACE_HOURS = 24.0
_HOUR, _DAY = 3600.0, 86_400.0
_UNUSED_DAYS = 30
"""Days after which a note mentions an unused transfer."""


@dataclass(frozen=True)
class GcRequest:
    """The options of `gc`.

    `keeping` chooses the generations to keep. Unneeded blobs younger than `grace_hours` are kept.
    `forget` are folders of projects whose packs are no longer needed. Folders of transfers are
    removed if they were not used for `transfer_days`; None keeps all of them.
    """

    keeping: Keeping
    grace_hours: float = GRACE_HOURS
    dry_run: bool = False
    forget: tuple[Path, ...] = ()
    transfer_days: float | None = None


@dataclass(frozen=True)
class Pruned:
    """A pruned generation: its number stays, its packs are no longer needed."""

    project: Path
    number: int


@dataclass(frozen=True)
class BlobTotals:
    """A number of blobs and their bytes."""

    blobs: int = 0
    size: int = 0

    def plus(self, size: int) -> "BlobTotals":
        """The totals with one more blob of `size` bytes."""
        return replace(self, blobs=self.blobs + 1, size=self.size + size)


@dataclass
class Collected:
    """What gc removed, or would remove in a dry run, and what it kept.

    `young` are unneeded blobs that are kept because they are new.
    """

    freed: BlobTotals = field(default_factory=BlobTotals)
    kept: BlobTotals = field(default_factory=BlobTotals)
    young: BlobTotals = field(default_factory=BlobTotals)
    cache_bytes: int = 0
    transfer_bytes: int = 0
    pruned: list[Pruned] = field(default_factory=list)
    projects: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def collect(session: Session, request: GcRequest) -> Collected:
    """Remove the blobs that no kept generation and no lock of a known project needs."""
    if not request.dry_run:
        clean_up(session)
    done, known = Collected(), KnownProjects(session.home)
    _update_known(session, known, request, done)
    pruned: dict[Path, list[int]] = {}
    for entry in known:
        pruned[entry.folder] = _prune(session, entry, request, done)
    with nullcontext() if request.dry_run else session.store.alone():
        packs = _needed(known, pruned if request.dry_run else {}, done, dry_run=request.dry_run)
        _sweep(session, request, packs, done)
    _clean(session, request, done)
    _clean_transfers(session, request, done)
    return done


def _update_known(
    session: Session, known: KnownProjects, request: GcRequest, done: Collected
) -> None:
    """Add the current project to the known projects, and forget deleted and `--forget` projects."""
    if request.dry_run:
        return
    here = ProjectFolder(session.project)
    if here.has_file and here.folder.resolve() not in {entry.folder for entry in known}:
        known.remember(here.folder, ())
    for folder in request.forget:
        if not known.forget(folder.resolve()):
            done.notes.append(f"`{folder}` is not a known project, so there is nothing to forget")
    for entry in list(known):
        if entry.presence() == "gone":
            done.notes.append(_gone_note(entry.folder))
            known.forget(entry.folder)


def _gone_note(folder: Path) -> str:
    return f"project `{folder}` no longer exists, so its packs are not needed any more"


def _prune(session: Session, known: KnownProject, request: GcRequest, done: Collected) -> list[int]:
    """Prune the old generations of a project; a project that is in use keeps all of them.

    Also runs if a killed process, such as an earlier gc, left its name in the project's lock.
    """
    project = ProjectFolder(known.folder)
    if not known.own or known.presence() != "here":
        return []
    numbers: list[int] = []
    try:
        if _has_work(session, project, request):
            with (
                nullcontext()
                if request.dry_run
                else writing(project, "gc", timeout=0, say=done.notes.append, home=session.home)
            ):
                done.notes.extend(_future_notes(session, project, request))
                for generation in list(request.keeping.prunable(project, session.now)):
                    if not request.dry_run:
                        prune(project, generation, session.now)
                    numbers.append(generation.number)
    except (SkillpmError, OSError) as problem:
        done.notes.append(f"all generations of `{known.folder}` are kept: {problem}")
    done.pruned.extend(Pruned(known.folder, number) for number in numbers)
    return numbers


def _future_notes(session: Session, project: ProjectFolder, request: GcRequest) -> Iterator[str]:
    """A note for each generation whose date is in the future."""
    for generation in request.keeping.ahead(project, session.now):
        yield (
            f"generation {generation.number} of `{project.folder}` is dated {generation.created}, "
            "in the future: the generation before it is kept; `skillpm gc --keep N` ignores dates "
            "and keeps N generations"
        )


def _has_work(session: Session, project: ProjectFolder, request: GcRequest) -> bool:
    if not project.has_environment:
        return False
    with project.open_state() as state:
        keeping, now = request.keeping, session.now
        work = any(keeping.prunable(project, now)) or any(keeping.ahead(project, now))
        return work or abandoned(state)


def _needed(
    known: KnownProjects, pruned: dict[Path, list[int]], done: Collected, *, dry_run: bool
) -> set[Digest]:
    """The packs that known projects need, without the generations in `pruned`."""
    packs: set[Digest] = set()
    for entry in known:
        presence = entry.presence()
        if presence == "gone":  # happens only in a dry run: otherwise gc has forgotten the project
            done.notes.append(_gone_note(entry.folder))
            continue
        needs = needs_of(entry, pruned.get(entry.folder, ()))
        if presence == "away":
            done.notes.append(
                f"`{entry.folder}` cannot be seen; it may be on a disk that is not mounted, so its "
                f"packs are kept (to remove them: `skillpm gc --forget {entry.folder}`)"
            )
        done.projects.append(entry.folder)
        done.notes.extend(needs.notes)
        packs |= needs.packs
        if presence == "here" and entry.own and not needs.notes and not dry_run:
            known.remember(entry.folder, needs.packs, exact=True)
    return packs


def _sweep(session: Session, request: GcRequest, packs: set[Digest], done: Collected) -> None:
    """Remove the blobs that are neither needed by `packs` nor new, or count them in a dry run.

    A blob dated in the future gets the current time, so that it gets old.
    """
    store = session.store
    reached = reach(store, packs)
    for digest, reason in reached.damaged.items():
        done.notes.append(
            f"pack `{digest}` is damaged, so the blobs that it needs are unknown and no blob is "
            f"removed ({reason}); to repair the pack: `skillpm cache verify --repair`"
        )
    now, future = session.now.timestamp(), list[float]()
    for digest, size, changed in _sizes(store):
        if changed > now + _HOUR:
            future.append(changed)
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
    if future:
        done.notes.append(
            f"{counted(len(future), 'blob')} dated in the future, up to {_day(max(future))}: a "
            "clock is or was wrong; they count as new, and `skillpm gc` can remove the unneeded "
            f"ones when they are {request.grace_hours:g} h old"
        )


def _day(seconds: float) -> str:
    """The date of a file's time; a text for dates that Python cannot represent."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "a year after 9999"


def _sizes(store: Store) -> Iterator[tuple[Digest, int, float]]:
    for digest in store.blobs():
        status = store.status(digest)
        yield digest, *((status.st_size, status.st_mtime) if status else (0, 0.0))


def _clean(session: Session, request: GcRequest, done: Collected) -> None:
    """Remove cached results that are older than their limit."""
    now = session.now.timestamp()
    for name, days in CACHE_DAYS.items():
        before = now - days * _DAY
        done.cache_bytes += age_out(
            session.home, "cache", name, before=before, now=now, dry_run=request.dry_run
        )


def _clean_transfers(session: Session, request: GcRequest, done: Collected) -> None:
    """Remove unused transfers if the request says so; else, a note has their size."""
    now, days = session.now.timestamp(), request.transfer_days
    if days is None:
        size = sum(unused_transfers(session.home, now - _UNUSED_DAYS * _DAY).values())
        if size:
            done.notes.append(
                f"transfers that were not used for {_UNUSED_DAYS} days take {size / 1e6:.1f} MB "
                f"for answers and weights; `skillpm gc --transfers {_UNUSED_DAYS}` removes them"
            )
    elif request.dry_run:
        done.transfer_bytes = sum(unused_transfers(session.home, now - days * _DAY).values())
    else:
        done.transfer_bytes = remove_transfers(session.home, now - days * _DAY, done.notes.append)
