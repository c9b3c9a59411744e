"""`outdated`: what newer releases there are, and what holds an upgrade back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from skillpm.environment.project import ProjectFolder
from skillpm.errors import NotFoundError, ResolutionError, SkillpmError, UnknownSkillError
from skillpm.flows.change.request import InstallRequest, resolution_request
from skillpm.flows.locking.held_back import (
    ChosenRelease,
    Hold,
    SkippedRelease,
    chosen_of,
    holds_on,
    newest_of,
    skipped_of,
)
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.session import Session
from skillpm.resolver.question import Question, RootRequirement
from skillpm.resolver.solve import solve
from skillpm.spec.lockfile import LockedSkill
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version


@dataclass(frozen=True)
class Outdated:
    """A locked release that is not the newest, or that was yanked.

    `wanted` is what `upgrade` would take (None where it would be dropped), `latest` the newest
    release that is not yanked (None where all are); `holds` say who keeps `wanted` from it.
    """

    skill: SkillName
    current: Version
    wanted: Version | None
    latest: Version | None
    yanked: bool
    holds: tuple[Hold, ...]

    @property
    def held_by(self) -> tuple[str, ...]:
        """What the holds say."""
        return tuple(hold.statement for hold in self.holds)


@dataclass(frozen=True)
class OutdatedReport:
    """What is outdated, of so many as were `checked`; `unlisted` are in no registry in reach."""

    outdated: tuple[Outdated, ...]
    checked: int
    unlisted: tuple[SkillName, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[SkippedRelease, ...] = ()


def survey(session: Session) -> OutdatedReport:
    """Compare the lock with the registries. Writes nothing.

    Raises `NotFoundError` where there is no lock, `RegistryError` where a registry is out of reach.
    """
    project = ProjectFolder(session.project)
    file, lock = project.read_file(), project.read_lock()
    if lock is None:
        raise NotFoundError("there is no skillpm.lock to compare", hint="`skillpm install`")
    registries, notes = Registries(session, file), tuple[str, ...]()
    known = registries.releases(lock.skills.keys())
    question = resolution_request(project, file, lock, InstallRequest(upgrade=())).question
    wanted: Mapping[SkillName, Version]
    try:
        found = solve(question, registries, session.patience()).releases
        wanted = {skill: release.version for skill, release in found.items()}
        chosen = {
            skill: ChosenRelease(one.ref, one.version, one.requires, one.conflicts)
            for skill, one in found.items()
        }
    except (ResolutionError, UnknownSkillError) as problem:
        wanted = {skill: one.version for skill, one in lock.skills.items()}
        chosen = chosen_of(lock.skill, known)
        notes = (f"`upgrade` would fail: {problem.message}",)

    def holds(newest: Release) -> tuple[Hold, ...]:
        stated = tuple(holds_on(newest, file, lock.base.root, chosen))
        return stated or _costs(session, question, registries, newest, wanted)

    rows = (
        _row(one, known.get(skill, ()), wanted.get(skill), holds)
        for skill, one in lock.skills.items()
    )
    unlisted = tuple(skill for skill in lock.skills if not known.get(skill))
    skipped = tuple(
        each
        for skill, one in lock.skills.items()
        for each in skipped_of(known.get(skill, ()), one.version)
    )
    return OutdatedReport(
        tuple(row for row in rows if row), len(lock.skill), unlisted, notes, skipped
    )


def _costs(
    session: Session,
    question: Question,
    registries: Registries,
    newest: Release,
    wanted: Mapping[SkillName, Version],
) -> tuple[Hold, ...]:
    """What the newest release would cost, where no single statement speaks against it."""
    asked = RootRequirement(Requirement.exact(newest.skill, newest.version), "outdated")
    whole = replace(question, wanted=(*question.wanted, asked))
    try:
        found = solve(whole, registries, session.patience()).releases
    except SkillpmError as problem:
        return (Hold(newest.ref, problem.message.splitlines()[0]),)
    older = [
        f"`{skill}` at {found[skill].version if skill in found else 'none'} and not {version}"
        for skill, version in wanted.items()
        if skill not in found or found[skill].version < version
    ]
    return (Hold(newest.ref, f"it would take {' and '.join(older)}"),) if older else ()


def _row(
    one: LockedSkill,
    releases: Sequence[Release],
    wanted: Version | None,
    holds: Callable[[Release], tuple[Hold, ...]],
) -> Outdated | None:
    """What is to say of a locked release; None where it is the newest."""
    yanked = any(r.yanked for r in releases if r.digest == one.digest)
    newest = newest_of(releases, one.version)
    latest = newest.version if newest else None
    if wanted == one.version and not yanked and (latest is None or latest <= one.version):
        return None
    held = holds(newest) if newest and latest != wanted else ()
    return Outdated(one.skill, one.version, wanted, latest, yanked, held)
