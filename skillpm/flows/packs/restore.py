"""Fetch blobs that are missing or damaged in the store from the registries of the project."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from skillpm.environment.project import ProjectFolder
from skillpm.errors import IntegrityError, SkillpmError, StateError
from skillpm.flows.packs.protocol import AnyPack, check_is
from skillpm.flows.packs.quarantine import QuarantinedReleaseError, refuse_listed
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.session import Session
from skillpm.index.protocol import Index
from skillpm.parallel import Advance, parallel_map
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.project import DEFAULT_REGISTRY
from skillpm.store.errors import DamagedBlobError, MissingBlobError
from skillpm.store.packs import damage_of, fetch_documents, fetch_pack, load_pack

T = TypeVar("T")
PARALLEL_PACKS = 4
"""Packs that are fetched at the same time, each with several blobs at a time."""


class LostPackError(SkillpmError):
    """A locked pack that neither the store nor its registry has.

    The error has the kind and the exit code of its `cause`.
    """

    def __init__(self, locked: LockedSkill, location: str, cause: SkillpmError) -> None:
        super().__init__(
            f"{locked.ref} is not in the store, and the registry `{locked.registry}` "
            f"({location}) does not provide it: {cause.message}",
            hint=f"publish {locked.ref} again: "
            f"`skillpm publish {locked.skill.pack_file(locked.version)}`; or name another registry "
            "with `--registry`; or install a bundle that contains it: "
            "`skillpm install --from team.skillbundle`",
        )
        self.cause = cause
        self.kind = cause.kind  # type: ignore[misc]
        self.exit_code = cause.exit_code  # type: ignore[misc]


def fetch_all(session: Session, registries: Registries, lock: Lockfile) -> int:
    """Fetch every blob of the lock that is missing or damaged in the store; return their bytes.

    Several packs are fetched at a time. Costs one SHA-256 of all blobs of the lock that are in the
    store. If no registry has a pack, raises the error of the registry that the lock names. Raises
    `QuarantinedReleaseError` for a missing pack that its registry has quarantined.
    """
    session.store.sweep()
    damaged = [(locked, damage_of(session.store, locked.digest)) for locked in lock.skill]
    missing = [(locked, damage) for locked, damage in damaged if damage is not None]
    if not missing:
        return 0
    stop = threading.Event()
    advance = session.progress("fetching", sum(locked.size for locked, _ in missing))

    def count(size: int) -> None:
        if stop.is_set():
            raise StateError("the download was stopped")
        advance(size)

    def fetch(waiting: tuple[LockedSkill, DamagedBlobError | MissingBlobError]) -> int:
        locked, damage = waiting
        with unrepaired(damage):
            return _fetch(session, registries, locked, count)

    def end() -> None:
        stop.set()
        if not isinstance(sys.exception(), Exception):
            registries.close()  # Ctrl-C does not wait for a server that is silent

    workers = min(len(missing), PARALLEL_PACKS)
    return sum(parallel_map(fetch, missing, workers=workers, stop=end))


@contextmanager
def unrepaired(damage: DamagedBlobError | MissingBlobError) -> Iterator[None]:
    """Raise `damage` if the body fails to fetch the damaged blob again.

    For a missing blob, the error of the body is raised.
    """
    try:
        yield
    except SkillpmError as problem:
        if isinstance(damage, MissingBlobError):
            raise
        then = problem.hint or "once a registry has it, `skillpm install` repairs the store"
        damage.hint = f"the blob could not be fetched again: {problem.message}; {then}"
        raise damage from problem


def stored_packs(
    session: Session, registries: Registries, lock: Lockfile
) -> dict[SkillName, AnyPack]:
    """Every pack of a lock. Documents that are missing or damaged in the store are fetched.

    Raises `QuarantinedReleaseError` for a pack that would be fetched.
    """
    packs: dict[SkillName, AnyPack] = {}
    for skill, locked in lock.skills.items():
        try:
            pack = load_pack(session.store, locked.digest)
        except (MissingBlobError, DamagedBlobError) as problem:
            with unrepaired(problem), _named(registries, locked):
                index = registries.index(locked.registry)
                refuse_listed(index, skill, locked.digest, _registry_of(registries, locked))
                pack = fetch_documents(session.store, locked.digest, index)[0]
        packs[skill] = check_is(pack, skill, locked.version)
    return packs


def _fetch(session: Session, registries: Registries, locked: LockedSkill, advance: Advance) -> int:
    first: SkillpmError | None = None
    for connect in _sources(registries, locked):
        try:
            index = connect()
            refuse_listed(index, locked.skill, locked.digest, _registry_of(registries, locked))
            return fetch_pack(session.store, locked.digest, index, advance)[1]
        except QuarantinedReleaseError:
            raise
        except SkillpmError as problem:
            first = first or problem
    assert first is not None  # noqa: S101 - there is one source at least
    with _named(registries, locked):
        raise first


def _registry_of(registries: Registries, locked: LockedSkill) -> str:
    return str(registries.location(locked.registry))


@contextmanager
def _named(registries: Registries, locked: LockedSkill) -> Iterator[None]:
    """Turn an error of the body into a `LostPackError`, which names release and registry."""
    try:
        yield
    except IntegrityError:
        raise  # the registry has the pack, but damaged: the user must see that error
    except SkillpmError as problem:
        raise LostPackError(locked, _registry_of(registries, locked), problem) from problem


def _sources(registries: Registries, locked: LockedSkill) -> Iterator[Callable[[], Index]]:
    """The registry that the lock names, then the default one.

    Any registry is fine, because the digest verifies the bytes.
    """
    yield lambda: registries.index(locked.registry)
    if locked.registry != DEFAULT_REGISTRY:
        yield lambda: registries.index(DEFAULT_REGISTRY)


def restoring(
    session: Session, project: ProjectFolder, lock: Lockfile, action: Callable[[], T]
) -> T:
    """Run `action`; if a blob of the lock is damaged or missing, fetch it and run `action` again.

    Raises `DamagedBlobError` or `MissingBlobError` if the blob cannot be fetched.
    """
    try:
        return action()
    except (DamagedBlobError, MissingBlobError) as problem:
        with unrepaired(problem):
            fetch_all(session, Registries(session, project.read_file()), lock)
        session.say(f"blob `{problem.digest}` was damaged or missing and was fetched again")
    return action()
