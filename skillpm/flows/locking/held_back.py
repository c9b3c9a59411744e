"""What keeps a skill from its newest release: whose requirement, in the set that is chosen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedSkill
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile
from skillpm.spec.release import Release
from skillpm.spec.requirements import Requirement, VersionRange
from skillpm.spec.versions import Version

PROJECT = "skillpm.toml"


@dataclass(frozen=True)
class Hold:
    """A statement that speaks against a release: `by` a release, the project file or the base."""

    by: str
    statement: str
    requirement: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        """The document of it."""
        return {"by": self.by, "requirement": self.requirement, "statement": self.statement}


@dataclass(frozen=True)
class ChosenRelease:
    """A release of the set that a newer one would have to go with."""

    ref: str
    version: Version
    requires: Sequence[Requirement]
    conflicts: Sequence[Requirement] = ()


@dataclass(frozen=True)
class SkippedRelease:
    """A newer release that is never taken unasked: yanked, or a pre-release."""

    skill: SkillName
    version: Version
    reason: str

    def to_dict(self) -> dict[str, str]:
        """The document of it."""
        return {"skill": str(self.skill), "version": str(self.version), "reason": self.reason}

    @property
    def note(self) -> str:
        """What a person reads of it."""
        return (
            f"{self.skill} {self.version} is newer, but {self.reason}: "
            f"`skillpm install {self.skill}@{self.version}` asks for it by name"
        )


def chosen_of(
    locked: Iterable[LockedSkill], known: Mapping[SkillName, Sequence[Release]]
) -> dict[SkillName, ChosenRelease]:
    """The set of a lock, with the conflicts that registries list of it."""
    found: dict[SkillName, ChosenRelease] = {}
    for one in locked:
        listed = next((r for r in known.get(one.skill, ()) if r.digest == one.digest), None)
        conflicts = listed.conflicts if listed else ()
        found[one.skill] = ChosenRelease(one.ref, one.version, one.requires, conflicts)
    return found


def newest_of(releases: Sequence[Release], current: Version) -> Release | None:
    """The newest release that is not yanked; a pre-release only from a pre-release."""
    fitting = (
        release
        for release in releases
        if not release.yanked and (not release.version.is_prerelease or current.is_prerelease)
    )
    return max(fitting, key=lambda release: release.version, default=None)


def skipped_of(releases: Sequence[Release], current: Version) -> Iterator[SkippedRelease]:
    """The newest yanked release and the newest pre-release above all that may be taken."""
    newest = newest_of(releases, current)
    floor = max(current, newest.version) if newest else current
    above = [release for release in releases if release.version > floor]
    for reason, kept in (
        ("it was yanked", [r for r in above if r.yanked]),
        ("it is a pre-release", [r for r in above if not r.yanked and r.version.is_prerelease]),
    ):
        if kept:
            one = max(kept, key=lambda release: release.version)
            yield SkippedRelease(one.skill, one.version, reason)


def holds_on(
    newest: Release, file: ProjectFile, root: Digest, chosen: Mapping[SkillName, ChosenRelease]
) -> Iterator[Hold]:
    """What speaks against a release in the chosen set, each statement with who makes it."""
    if newest.base and newest.base != root:
        yield Hold("base", f"it is cut from base {newest.base.short}")
    wish = file.project_requirements.get(newest.skill)
    if wish and newest.version not in VersionRange.parse(wish.version):
        yield Hold(
            PROJECT, f"{PROJECT} asks for `{wish.version}`", f"{newest.skill} {wish.version}"
        )
    for skill, other in chosen.items():
        if skill == newest.skill:
            continue
        for need in other.requires:
            if need.skill == newest.skill and newest.version not in need.range:
                yield Hold(other.ref, f"`{other.ref}` requires `{need}`", str(need))
        for conflict in other.conflicts:
            if conflict.admits(newest.skill, newest.version):
                yield Hold(other.ref, f"`{other.ref}` conflicts with `{conflict}`", str(conflict))
    yield from _own_holds(newest, chosen)


def _own_holds(newest: Release, chosen: Mapping[SkillName, ChosenRelease]) -> Iterator[Hold]:
    """What the release itself says against others of the set."""
    ref = newest.ref
    for need in newest.requires:
        other = chosen.get(need.skill)
        if other and other.version not in need.range:
            yield Hold(ref, f"`{ref}` requires `{need}`, and `{other.ref}` is chosen", str(need))
    for conflict in newest.conflicts:
        other = chosen.get(conflict.skill)
        if other and other.version in conflict.range:
            yield Hold(
                ref, f"`{ref}` conflicts with `{conflict}`, and `{other.ref}` is chosen",
                str(conflict),
            )  # fmt: skip


def held_notes(
    file: ProjectFile,
    root: Digest,
    locked: Mapping[SkillName, LockedSkill],
    known: Mapping[SkillName, Sequence[Release]],
) -> tuple[str, ...]:
    """A note on each skill of a new lock that could not be raised to its newest release."""
    chosen = chosen_of(locked.values(), known)
    notes = []
    for skill, one in locked.items():
        newest = newest_of(known.get(skill, ()), one.version)
        if newest is None or newest.version <= one.version:
            continue
        holds = "; ".join(hold.statement for hold in holds_on(newest, file, root, chosen))
        reason = holds or "`skillpm outdated` shows the set that it would need"
        notes.append(f"{skill} stays at {one.version}, and {newest.version} is there: {reason}")
    return tuple(notes)
