"""`outdated`: newer releases of the locked skills, and what prevents an upgrade to them."""

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
    """A locked release that is not the newest one, or is yanked.

    `wanted` is the version that `upgrade` would install (None if it would remove the skill),
    `latest` the newest version that is not yanked (None if all are). `holds` are the reasons why
    `wanted` is not `latest`. A `quarantined` release is `yanked` too.
    """

    skill: SkillName
    current: Version
    wanted: Version | None
    latest: Version | None
    yanked: bool
    holds: tuple[Hold, ...]
    quarantined: bool = False

    @property
    def held_by(self) -> tuple[str, ...]:
        """The reasons as sentences."""
        return tuple(hold.statement for hold in self.holds)


@dataclass(frozen=True)
class OutdatedReport:
    """The outdated skills among the `checked` locked ones.

    `unlisted` are skills that no reachable registry lists.
    """

    outdated: tuple[Outdated, ...]
    checked: int
    unlisted: tuple[SkillName, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[SkippedRelease, ...] = ()


def survey(session: Session) -> OutdatedReport:
    """Compare the lock with the registries. The project is not changed.

    Raises `NotFoundError` without a lock, `RegistryError` if a registry cannot be reached.
    """
    project = ProjectFolder(session.project)
    file, lock = project.read_file(), project.read_lock()
    if lock is None:
        raise NotFoundError("this project has no skillpm.lock", hint="`skillpm install` writes one")
    registries, notes = Registries(session, file), tuple[str, ...]()
    known = registries.releases(lock.skills.keys())
    question = resolution_request(project, file, lock, InstallRequest(upgrade=())).question
    wanted: Mapping[SkillName, Version]
    try:
        solution = solve(question, registries, session.start_deadline()).releases
        wanted = {skill: release.version for skill, release in solution.items()}
        chosen = {skill: _chosen(release) for skill, release in solution.items()}
    except (ResolutionError, UnknownSkillError) as problem:
        wanted = {skill: locked.version for skill, locked in lock.skills.items()}
        chosen = chosen_of(lock.skill, known)
        notes = (f"`upgrade` would fail: {problem.message}",)

    def holds(newest: Release) -> tuple[Hold, ...]:
        stated = tuple(holds_on(newest, file, lock.base.root, chosen))
        return stated or _downgrades(session, question, registries, newest, wanted)

    rows = (
        _row(locked, known.get(skill, ()), wanted.get(skill), holds)
        for skill, locked in lock.skills.items()
    )
    unlisted = tuple(skill for skill in lock.skills if not known.get(skill))
    skipped = tuple(
        release
        for skill, locked in lock.skills.items()
        for release in skipped_of(known.get(skill, ()), locked.version)
    )
    return OutdatedReport(
        tuple(row for row in rows if row), len(lock.skill), unlisted, notes, skipped
    )


def _chosen(release: Release) -> ChosenRelease:
    return ChosenRelease(release.ref, release.version, release.requires, release.conflicts)


def _downgrades(
    session: Session,
    question: Question,
    registries: Registries,
    newest: Release,
    wanted: Mapping[SkillName, Version],
) -> tuple[Hold, ...]:
    """Return the downgrades that the newest release would need, if no requirement excludes it."""
    requirement = RootRequirement(Requirement.exact(newest.skill, newest.version), "outdated")
    extended = replace(question, wanted=(*question.wanted, requirement))
    try:
        solution = solve(extended, registries, session.start_deadline()).releases
    except SkillpmError as problem:
        return (Hold(newest.ref, problem.message.splitlines()[0]),)
    older = [
        f"`{skill}` at {_version(solution.get(skill))} instead of {version}"
        for skill, version in wanted.items()
        if skill not in solution or solution[skill].version < version
    ]
    return (Hold(newest.ref, f"it would need {' and '.join(older)}"),) if older else ()


def _version(release: Release | None) -> str:
    return "no version" if release is None else str(release.version)


def _row(
    locked: LockedSkill,
    releases: Sequence[Release],
    wanted: Version | None,
    holds: Callable[[Release], tuple[Hold, ...]],
) -> Outdated | None:
    """Return the row of a locked release, or None if it is the newest one."""
    listed = [release for release in releases if release.digest == locked.digest]
    yanked, quarantined = any(r.yanked for r in listed), any(r.quarantined for r in listed)
    newest = newest_of(releases, locked.version)
    latest = newest.version if newest else None
    if wanted == locked.version and not yanked and (latest is None or latest <= locked.version):
        return None
    held = holds(newest) if newest and latest != wanted else ()
    return Outdated(locked.skill, locked.version, wanted, latest, yanked, held, quarantined)
