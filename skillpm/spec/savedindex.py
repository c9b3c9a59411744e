"""A saved index: the resolution data of a catalogue in one JSON file, for bug reports."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from skillpm.errors import Problems, SpecError
from skillpm.spec import json
from skillpm.spec.fields import (
    DigestField,
    Document,
    RequirementField,
    SkillNameField,
    VersionField,
    empty_list,
    read_document,
)
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.versions import Version

WHAT = "the saved index"


class SavedRelease(Document):
    """The data of a release. All keys are optional."""

    requires: list[RequirementField] = Field(default_factory=empty_list)
    conflicts: list[RequirementField] = Field(default_factory=empty_list)
    yanked: bool = False
    base: DigestField | None = None

    def release(self, skill: SkillName, version: Version) -> Release:
        """The release in the form of other indexes."""
        return Release(
            skill,
            version,
            base=self.base,
            requires=tuple(self.requires),
            conflicts=tuple(self.conflicts),
            yanked=self.yanked,
        )


class SavedIndexFile(Document):
    """The whole file: releases by skill and version."""

    skills: dict[SkillNameField, dict[VersionField, SavedRelease]]


@dataclass(frozen=True)
class SavedIndex:
    """Releases by skill. Implements the resolver's `Catalogue`."""

    by_skill: Mapping[SkillName, Sequence[Release]]

    def releases(self, skills: Collection[SkillName]) -> Mapping[SkillName, Sequence[Release]]:
        """All releases of each skill, in the order of the file."""
        return {skill: self.by_skill.get(skill, ()) for skill in skills}


def parse_index(data: bytes, what: str = WHAT) -> SavedIndex:
    """Read a saved index. Raises `SpecError` with every problem and its path."""
    plain = json.parse_object(data, what)
    file = read_document(SavedIndexFile, plain, what)
    problems = Problems(what)
    problems.extend(_duplicate_versions(plain["skills"]))
    problems.raise_if_any()
    return SavedIndex(
        {
            skill: [saved.release(skill, version) for version, saved in versions.items()]
            for skill, versions in file.skills.items()
        }
    )


def _duplicate_versions(skills: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """A problem for each version that differs from another only in build metadata."""
    for skill, versions in skills.items():
        seen: set[Version] = set()
        for text in versions:
            version = Version.parse(text)
            if version in seen:
                yield f"skills.{skill}.{text}", "duplicate version (build metadata is ignored)"
            seen.add(version)


def dump_index(releases: Iterable[Release]) -> bytes:
    """The saved index of these releases, in canonical JSON without default values.

    `parse_index` reads it. Raises `SpecError` for duplicate releases.
    """
    skills: dict[str, dict[str, Any]] = {}
    for release in releases:
        versions = skills.setdefault(str(release.skill), {})
        if str(release.version) in versions:
            raise SpecError(f"duplicate release `{release.ref}`")
        saved = SavedRelease(
            requires=list(release.requires),
            conflicts=list(release.conflicts),
            yanked=release.yanked,
            base=release.base,
        )
        versions[str(release.version)] = saved.model_dump(mode="json", exclude_defaults=True)
    return json.canonical({"skills": skills})
