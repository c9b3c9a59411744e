"""The set that `graft` writes: the installed one, a part of it, or with settings for one run."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from skillpm.environment.project import ProjectFolder
from skillpm.errors import GraftError, UnknownSkillError
from skillpm.flows.locking.lock_check import prune
from skillpm.flows.locking.solve import check_together
from skillpm.flows.packs.quarantine import refuse_installed
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.merging import MERGED
from skillpm.spec.names import SkillName
from skillpm.spec.overrides import GraftOverrides, keeping_commands
from skillpm.store.packs import load_pack


@dataclass(frozen=True)
class GraftOptions:
    """The options of `graft`: a part of the set, settings for one run, and how to write."""

    only: tuple[SkillName, ...] = ()
    link: bool = False
    fresh: bool = False
    verify: bool = False
    overrides: GraftOverrides = field(default_factory=GraftOverrides)


@dataclass(frozen=True)
class GraftedSet:
    """The installed set, and the lock that is grafted, which has its root if it is known.

    `once` is true if settings of this run differ from those of the installed set.
    """

    installed: Lockfile
    lock: Lockfile
    only: tuple[SkillName, ...]
    once: bool

    @property
    def is_whole(self) -> bool:
        """Whether the graft is that of the lock, so that its root is recorded there."""
        return not self.only and not self.once

    @property
    def keeping(self) -> tuple[str, ...]:
        """The commands that make the settings of this run those of the project."""
        return keeping_commands(self.installed, self.lock)

    def check(self, session: Session) -> None:
        """Check that the set can be one model. The packs must be in the store.

        Raises `GraftError` for a whole routed set, `ResolutionError` for packs that conflict.
        """
        lock = self.lock
        if lock.graft.routed and lock.skill and not self.only:
            raise GraftError(
                "a routed project cannot be grafted as one model: its skills stay apart",
                hint=f"`skillpm graft --only {min(lock.skills)}` writes the model of one skill; "
                "`skillpm graft --mode merged` merges all, for this run; in Python, "
                '`skillpm.open_project(".").load_model()` loads all',
            )
        if lock.graft.routed or self.once:
            check_merged(session, lock)


def choose_set(
    session: Session, project: ProjectFolder, installed: Lockfile, options: GraftOptions
) -> GraftedSet:
    """Return the set to graft.

    Raises `QuarantinedReleaseError`, `UnknownSkillError` for a skill that is not installed, and
    `UsageError` for settings that the method does not have.
    """
    selected = select(_with_known_root(project, installed), options.only)
    refuse_installed(session, project, selected)
    lock = options.overrides.apply(selected)
    return GraftedSet(installed, lock, options.only, once=lock is not selected)


def _with_known_root(project: ProjectFolder, installed: Lockfile) -> Lockfile:
    """Return the installed set, with the root that skillpm.lock records for it."""
    lock = project.read_lock()
    known = lock.graft.root if lock is not None and lock.same_set(installed) else None
    return installed.with_root(known)


def select(lock: Lockfile, only: Sequence[SkillName]) -> Lockfile:
    """Return the lock, or the part of it with these skills and their requirements."""
    if not only:
        return lock
    for skill in only:
        if skill not in lock.skills:
            raise UnknownSkillError(
                f"`{skill}` is not installed", hint="`skillpm list` shows what is"
            )
    return prune(lock, only).with_root(None)


def check_merged(session: Session, lock: Lockfile) -> None:
    """Raise `ResolutionError` if the packs of a lock cannot be merged into one model."""
    graft = lock.graft.model_copy(update={"mode": MERGED})
    packs = {
        skill: load_pack(session.store, locked.digest) for skill, locked in lock.skills.items()
    }
    check_together(lock.model_copy(update={"graft": graft}), packs)
