"""`outdated`: what newer releases there are, and what holds an upgrade back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from skillpm.environment.project import Project
from skillpm.errors import NotFoundError, ResolutionError, UnknownSkillError
from skillpm.flows.ask import InstallRequest, ask_for
from skillpm.flows.catalogue import Registries
from skillpm.flows.setting import Setting
from skillpm.resolver.solve import solve
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile
from skillpm.spec.release import Release
from skillpm.spec.requirements import VersionRange
from skillpm.spec.versions import Version


@dataclass(frozen=True)
class Outdated:
    """A locked release that is not the newest, or that was yanked.

    `wanted` is what `upgrade` would take (None where it would be dropped), `latest` the newest
    release that is not yanked (None where all are); `held_by` says what keeps `wanted` from it.
    """

    skill: SkillName
    current: Version
    wanted: Version | None
    latest: Version | None
    yanked: bool
    held_by: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """What is outdated, of so many as were `checked`; `unlisted` are in no registry in reach."""

    outdated: tuple[Outdated, ...]
    checked: int
    unlisted: tuple[SkillName, ...] = ()
    notes: tuple[str, ...] = ()


def survey(setting: Setting) -> Survey:
    """Compare the lock with the registries. Writes nothing.

    Raises `NotFoundError` where there is no lock, `RegistryError` where a registry is out of reach.
    """
    project = Project(setting.project)
    file, lock = project.read_file(), project.read_lock()
    if lock is None:
        raise NotFoundError("there is no skillpm.lock to compare", hint="`skillpm install`")
    registries, notes = Registries(setting, file), tuple[str, ...]()
    known = registries.releases(lock.skills.keys())
    question = ask_for(project, file, lock, InstallRequest(upgrade=())).question
    wanted: Mapping[SkillName, Version]
    try:
        found = solve(question, registries, setting.patience()).releases
        wanted = {skill: release.version for skill, release in found.items()}
    except (ResolutionError, UnknownSkillError) as problem:
        wanted = {skill: one.version for skill, one in lock.skills.items()}
        notes = (f"`upgrade` would fail: {problem.message}",)
    rows = (
        _row(one, known.get(skill, ()), wanted.get(skill), (file, lock))
        for skill, one in lock.skills.items()
    )
    unlisted = tuple(skill for skill in lock.skills if not known.get(skill))
    return Survey(tuple(row for row in rows if row), len(lock.skill), unlisted, notes)


def _row(
    one: LockedSkill,
    releases: Sequence[Release],
    wanted: Version | None,
    asked: tuple[ProjectFile, Lockfile],
) -> Outdated | None:
    """What is to say of a locked release; None where it is the newest."""
    yanked = any(r.yanked for r in releases if r.digest == one.digest)
    fitting = [
        release
        for release in releases
        if not release.yanked and (not release.version.is_prerelease or one.version.is_prerelease)
    ]
    newest = max(fitting, key=lambda release: release.version, default=None)
    latest = newest.version if newest else None
    if wanted == one.version and not yanked and (latest is None or latest <= one.version):
        return None
    held = tuple(_holds(newest, *asked)) if newest and latest != wanted else ()
    return Outdated(one.skill, one.version, wanted, latest, yanked, held)


def _holds(newest: Release, file: ProjectFile, lock: Lockfile) -> Iterator[str]:
    """What speaks against the newest release, as the project stands."""
    if newest.base and newest.base != lock.base.root:
        yield f"it is cut from base {newest.base.short}"
    wish = file.wishes.get(newest.skill)
    if wish and newest.version not in VersionRange.parse(wish.version):
        yield f"skillpm.toml asks for `{wish.version}`"
    for other in lock.skills.values():
        for need in other.requires:
            if need.skill == newest.skill and newest.version not in need.range:
                yield f"`{other.ref}` requires `{need}`"
