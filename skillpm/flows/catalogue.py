"""Where a project looks skills up: each in the one registry that its namespace is bound to."""

from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.errors import StateError, UsageError
from skillpm.flows.anypack import release_of
from skillpm.flows.bound import check_can_be_made, location_of
from skillpm.flows.setting import Setting
from skillpm.index.empty import EmptyIndex, is_unmade
from skillpm.index.ports import Index
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.project import DEFAULT_REGISTRY, ProjectFile
from skillpm.spec.release import Release

if TYPE_CHECKING:
    from skillpm.archive.reader import PackFile


@dataclass
class Registries:
    """The registries of a project by name, each reached when it is first needed.

    `files` are packs from files, listed as if they were published already.
    """

    setting: Setting
    file: ProjectFile
    files: "tuple[PackFile, ...]" = ()
    _open: dict[str, Index] = field(default_factory=dict)

    def location(self, name: str) -> RegistryLocation:
        """Where a registry is. Raises `UsageError` for a name that the project file lacks."""
        return location_of(self.setting, self.file, name)

    def index(self, name: str) -> Index:
        """The index of a registry. Raises `RegistryError` where it cannot be reached."""
        location = self.location(name)
        if self.files and location.folder is not None and is_unmade(Path(location.folder)):
            return EmptyIndex()  # publishing the files makes it
        if name not in self._open:
            self._open[name] = self.setting.connect(location, False)
        return self._open[name]

    def check_files(self) -> None:
        """Every pack file can be published, before any is: a refused one leaves no other behind."""
        for pack in self.files:
            skill, version = pack.manifest.skill, pack.manifest.version
            name = self.file.registry_of(skill)
            if name != DEFAULT_REGISTRY:
                raise UsageError(
                    f"`{skill.namespace}` is bound to the registry `{name}`: its packs come from "
                    "there alone",
                    hint=f"`skillpm publish {pack.path}`, then install it by name",
                )
            check_can_be_made(self.setting, self.file, name)
            for release in self.index(name).releases([skill]).get(skill, ()):
                if release.version == version and release.digest != pack.digest:
                    raise StateError(
                        f"`{skill}` {version} is already published as `{release.digest}`, and "
                        f"`{pack.path}` is `{pack.digest}`: releases are immutable",
                        hint="pack it again under a higher version",
                    )

    def publish(self, name: str, pack: "PackFile") -> None:
        """Publish a pack file to a registry, which is made where there is none yet."""
        self._open[name] = self.setting.connect(self.location(name), True)
        self._open[name].publish(pack.image_bytes, pack.open_blob, now=self.setting.now)

    def releases(self, skills: Collection[SkillName]) -> dict[SkillName, tuple[Release, ...]]:
        """All releases of these skills: one question a registry."""
        found: dict[SkillName, tuple[Release, ...]] = {}
        by_registry: dict[str, list[SkillName]] = {}
        for skill in sorted(skills):
            by_registry.setdefault(self.file.registry_of(skill), []).append(skill)
        for name, wanted in by_registry.items():
            for skill, releases in self.index(name).releases(wanted).items():
                found[skill] = tuple(releases)
        for release in map(release_of, self.files):
            if release.skill in skills:
                others = found.get(release.skill, ())
                kept = tuple(r for r in others if r.version != release.version)
                found[release.skill] = (*kept, release)
        return found

    def suggest(self, skill: SkillName) -> str:
        """A hint for a skill that is nowhere: the nearest name where it would be looked up."""
        return did_you_mean(skill, self.index(self.file.registry_of(skill)).skills())


def did_you_mean(skill: SkillName, known: list[SkillName]) -> str:
    """A hint that names the nearest skill, or how to look for one."""
    near = get_close_matches(str(skill), [str(name) for name in known], n=1)
    return f"did you mean `{near[0]}`?" if near else f"`skillpm search {skill.name}` looks for it"
