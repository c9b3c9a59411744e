"""The result of `probe`, and the check for probes, which needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skillpm.environment.project import ProjectFolder
from skillpm.flows.locking.lock_check import not_installed
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.store.packs import load_pack

if TYPE_CHECKING:
    from skillpm.flows.evaluate.carried import ProbeResult


@dataclass(frozen=True)
class Probed:
    """The results of `probe`; `without` are the skills without usable probes."""

    generation: int
    mode: str
    results: "tuple[ProbeResult, ...]"
    without: tuple[SkillName, ...]

    @property
    def passed(self) -> bool:
        """Whether every probe passed."""
        return all(result.passed for result in self.results)


def check_installed(lock: Lockfile, skills: Sequence[SkillName]) -> None:
    """Raise `NotFoundError` for a skill that is not in the lock."""
    for skill in skills:
        if skill not in lock.skills:
            raise not_installed(skill, lock.skills)


def nothing_to_probe(session: Session, skills: Sequence[SkillName]) -> Probed | None:
    """Return an empty result if none of these skills (or of all) has probes, else None.

    Raises `NotFoundError` for a skill that is not installed, `SpecError` for a probe file that
    cannot be read.
    """
    current = ProjectFolder(session.project).generation()
    lock = current.lockfile
    check_installed(lock, skills)
    wanted = tuple(skill for skill in lock.skills if not skills or skill in skills)
    for skill in wanted:
        pack = load_pack(session.store, lock.skills[skill].digest)
        if pack.manifest.capabilities and pack.probes() is not None:
            return None
    return Probed(current.number, lock.graft.mode, (), wanted)
