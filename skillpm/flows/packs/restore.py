"""Blobs that the store lacks or has damaged: fetched again, from wherever they can be had."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from skillpm.environment.project import ProjectFolder
from skillpm.errors import IntegrityError, SkillpmError
from skillpm.flows.packs.protocol import AnyPack, check_is
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.session import Session
from skillpm.index.ports import Index
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.project import DEFAULT_REGISTRY
from skillpm.store.errors import DamagedBlobError, MissingBlobError
from skillpm.store.packs import damage_of, fetch_documents, fetch_pack, load_pack

T = TypeVar("T")


class LostPackError(SkillpmError):
    """A locked pack that neither the store nor its registry has.

    It ends a command with the exit code of its `cause`.
    """

    def __init__(self, locked: LockedSkill, location: str, cause: SkillpmError) -> None:
        super().__init__(
            f"{locked.ref} is not in the store, and the registry `{locked.registry}` "
            f"({location}) does not give it: {cause.message}",
            hint=f"`skillpm publish FILE.skillpack` puts {locked.ref} there again, "
            f"`--registry URL` names another registry, and `skillpm install --from FILE` takes a "
            "bundle that holds it",
        )
        self.cause = cause
        self.kind = cause.kind  # type: ignore[misc]
        self.exit_code = cause.exit_code  # type: ignore[misc]


def fetch_all(session: Session, registries: Registries, lock: Lockfile) -> int:
    """Bring in every blob of the lock that the store lacks or has damaged; the bytes fetched.

    Costs one SHA-256 of all blobs of the lock that are here. Raises what the registry that the lock
    names raises, where no other has the blobs either.
    """
    session.store.sweep()
    fetched = 0
    for locked in lock.skill:
        damage = damage_of(session.store, locked.digest)
        if damage is not None:
            with unrepaired(damage):
                fetched += _fetch(session, registries, locked)
    return fetched


@contextmanager
def unrepaired(damage: DamagedBlobError | MissingBlobError) -> Iterator[None]:
    """Raise the damage of the store, where the body cannot fetch what is damaged again."""
    try:
        yield
    except SkillpmError as problem:
        if isinstance(damage, MissingBlobError):
            raise
        then = problem.hint or "once a registry has it, `skillpm install` repairs the store"
        damage.hint = f"it could not be fetched again: {problem.message}; {then}"
        raise damage from problem


def stored_packs(
    session: Session, registries: Registries, lock: Lockfile
) -> dict[SkillName, AnyPack]:
    """The documents of every pack of a lock, fetched where the store lacks them."""
    packs: dict[SkillName, AnyPack] = {}
    for skill, locked in lock.skills.items():
        try:
            pack = load_pack(session.store, locked.digest)
        except (MissingBlobError, DamagedBlobError) as problem:
            with unrepaired(problem), _named(registries, locked):
                source = registries.index(locked.registry)
                pack = fetch_documents(session.store, locked.digest, source)[0]
        packs[skill] = check_is(pack, skill, locked.version)
    return packs


def _fetch(session: Session, registries: Registries, locked: LockedSkill) -> int:
    first: SkillpmError | None = None
    for connect in _sources(registries, locked):
        try:
            return fetch_pack(session.store, locked.digest, connect())[1]
        except SkillpmError as problem:
            first = first or problem
    assert first is not None  # noqa: S101 - there is one source at least
    with _named(registries, locked):
        raise first


@contextmanager
def _named(registries: Registries, locked: LockedSkill) -> Iterator[None]:
    """Have a failure to fetch say which release it is about, and where it was looked for."""
    try:
        yield
    except IntegrityError:
        raise  # it is there, and damaged: that is to be read first
    except SkillpmError as problem:
        location = registries.location(locked.registry)
        raise LostPackError(locked, str(location), problem) from problem


def _sources(registries: Registries, locked: LockedSkill) -> Iterator[Callable[[], Index]]:
    """The registry that the lock names, then the default one: a digest names the same bytes."""
    yield lambda: registries.index(locked.registry)
    if locked.registry != DEFAULT_REGISTRY:
        yield lambda: registries.index(DEFAULT_REGISTRY)


def restoring(
    session: Session, project: ProjectFolder, lock: Lockfile, action: Callable[[], T]
) -> T:
    """What `action` gives; where a blob of the lock is damaged or missing, after fetching it again.

    Raises the damage, where it cannot be repaired.
    """
    try:
        return action()
    except (DamagedBlobError, MissingBlobError) as problem:
        with unrepaired(problem):
            fetch_all(session, Registries(session, project.read_file()), lock)
        session.say(f"blob `{problem.digest}` was damaged or missing: it was fetched again")
    return action()
