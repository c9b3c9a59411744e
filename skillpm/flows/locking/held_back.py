"""Explain why a skill is not at its newest release: which requirement excludes that release."""

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
    """A reason that excludes a release. `by` is a release, the project file or the base."""

    by: str
    statement: str
    requirement: str | None = None


@dataclass(frozen=True)
class ChosenRelease:
    """A release of the resolved set, with which a newer release must be compatible."""

    ref: str
    version: Version
    requires: Sequence[Requirement]
    conflicts: Sequence[Requirement] = ()


@dataclass(frozen=True)
class SkippedRelease:
    """A newer release that is not chosen automatically: yanked, quarantined, or a pre-release."""

    skill: SkillName
    version: Version
    reason: str
    may_be_chosen: bool = True

    @property
    def note(self) -> str:
        """The message for the user."""
        note = f"{self.skill} {self.version} is newer, but {self.reason}"
        if not self.may_be_chosen:
            return note
        return f"{note}; to install it anyway: `skillpm install {self.skill}@{self.version}`"


def chosen_of(
    locked: Iterable[LockedSkill], known: Mapping[SkillName, Sequence[Release]]
) -> dict[SkillName, ChosenRelease]:
    """The releases of a lock, each with the conflicts that its registry lists for it."""
    chosen: dict[SkillName, ChosenRelease] = {}
    for entry in locked:
        listed = next((r for r in known.get(entry.skill, ()) if r.digest == entry.digest), None)
        conflicts = listed.conflicts if listed else ()
        chosen[entry.skill] = ChosenRelease(entry.ref, entry.version, entry.requires, conflicts)
    return chosen


def newest_of(releases: Sequence[Release], current: Version) -> Release | None:
    """The newest release that is not yanked. Pre-releases count only if `current` is one."""
    eligible = (
        release
        for release in releases
        if not release.yanked and (not release.version.is_prerelease or current.is_prerelease)
    )
    return max(eligible, key=lambda release: release.version, default=None)


def skipped_of(releases: Sequence[Release], current: Version) -> Iterator[SkippedRelease]:
    """The newest release of each kind that is not eligible, above the newest eligible release."""
    newest = newest_of(releases, current)
    floor = max(current, newest.version) if newest else current
    above = [release for release in releases if release.version > floor]
    for reason, skipped in (
        ("it was yanked", [r for r in above if r.yanked and not r.quarantined]),
        ("it is quarantined", [r for r in above if r.quarantined]),
        ("it is a pre-release", [r for r in above if not r.yanked and r.version.is_prerelease]),
    ):
        if skipped:
            last = max(skipped, key=lambda release: release.version)
            yield SkippedRelease(last.skill, last.version, reason, not last.quarantined)


def holds_on(
    newest: Release, file: ProjectFile, root: Digest, chosen: Mapping[SkillName, ChosenRelease]
) -> Iterator[Hold]:
    """The reasons that exclude a release from the chosen set, each with its origin."""
    if newest.base and newest.base != root:
        yield Hold("base", f"it was built for base {newest.base.short}")
    asked = file.project_requirements.get(newest.skill)
    if asked and newest.version not in VersionRange.parse(asked.version):
        yield Hold(
            PROJECT, f"{PROJECT} asks for `{asked.version}`", f"{newest.skill} {asked.version}"
        )
    for skill, release in chosen.items():
        if skill == newest.skill:
            continue
        ref = release.ref
        for need in release.requires:
            if need.skill == newest.skill and newest.version not in need.range:
                yield Hold(ref, f"`{ref}` requires `{need}`", str(need))
        for conflict in release.conflicts:
            if conflict.admits(newest.skill, newest.version):
                yield Hold(ref, f"`{ref}` conflicts with `{conflict}`", str(conflict))
    yield from _own_holds(newest, chosen)


def _own_holds(newest: Release, chosen: Mapping[SkillName, ChosenRelease]) -> Iterator[Hold]:
    """The reasons from the release's own requirements and conflicts."""
    ref = newest.ref
    for need in newest.requires:
        release = chosen.get(need.skill)
        if release and release.version not in need.range:
            yield Hold(ref, f"`{ref}` requires `{need}`, and `{release.ref}` is chosen", str(need))
    for conflict in newest.conflicts:
        release = chosen.get(conflict.skill)
        if release and release.version in conflict.range:
            yield Hold(
                ref, f"`{ref}` conflicts with `{conflict}`, and `{release.ref}` is chosen",
                str(conflict),
            )  # fmt: skip


def held_notes(
    file: ProjectFile,
    root: Digest,
    locked: Mapping[SkillName, LockedSkill],
    known: Mapping[SkillName, Sequence[Release]],
) -> tuple[str, ...]:
    """A note for each skill of a new lock that is not at its newest release."""
    chosen = chosen_of(locked.values(), known)
    notes = []
    for skill, entry in locked.items():
        newest = newest_of(known.get(skill, ()), entry.version)
        if newest is None or newest.version <= entry.version:
            continue
        holds = "; ".join(hold.statement for hold in holds_on(newest, file, root, chosen))
        reason = holds or "`skillpm outdated` shows the set that it needs"
        notes.append(
            f"{skill} stays at {entry.version} although {newest.version} is available: {reason}"
        )
    return tuple(notes)
