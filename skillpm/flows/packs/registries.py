"""Where a project looks skills up: each in the one registry that its namespace is bound to."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.errors import SkillpmError, StateError, UsageError
from skillpm.flows.packs.protocol import AnyPack, release_of
from skillpm.flows.session.bindings import check_can_be_made, location_of
from skillpm.flows.session.session import Session
from skillpm.index.empty import EmptyIndex, is_uninitialized
from skillpm.index.ports import Index
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.nearest import did_you_mean
from skillpm.spec.project import DEFAULT_REGISTRY, ProjectFile
from skillpm.spec.release import Release

if TYPE_CHECKING:
    from skillpm.archive.reader import PackFile


_COMPARED = 5000


@dataclass
class Registries:
    """The registries of a project by name, each reached when it is first needed.

    `files` are packs from files, listed as if they were published already. `stored` are the locked
    packs whose documents the store has: each is listed too, where its registry does not list its
    version or cannot be reached. So a project that came without a registry can be added to.
    """

    session: Session
    file: ProjectFile
    files: "tuple[PackFile, ...]" = ()
    stored: Mapping[SkillName, AnyPack] = field(default_factory=dict)
    _open: dict[str, Index] = field(default_factory=dict)

    def location(self, name: str) -> RegistryLocation:
        """Where a registry is. Raises `UsageError` for a name that the project file lacks."""
        return location_of(self.session, self.file, name)

    def index(self, name: str) -> Index:
        """The index of a registry. Raises `RegistryError` where it cannot be reached."""
        location = self.location(name)
        if self.files and location.folder is not None and is_uninitialized(Path(location.folder)):
            return EmptyIndex()  # publishing the files makes it
        if name not in self._open:
            self._open[name] = self.session.connect(location, False)
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
            check_can_be_made(self.session, self.file, name)
            for release in self.index(name).releases([skill]).get(skill, ()):
                if release.version == version and release.digest != pack.digest:
                    raise StateError(
                        f"`{skill}` {version} is already published as `{release.digest}`, and "
                        f"`{pack.path}` is `{pack.digest}`: releases are immutable",
                        hint="pack it again under a higher version",
                    )

    def publish(self, name: str, pack: "PackFile") -> None:
        """Publish a pack file to a registry, which is made where there is none yet."""
        self._open[name] = self.session.connect(self.location(name), True)
        self._open[name].publish(pack.image_bytes, pack.open_blob, now=self.session.now)

    def releases(self, skills: Collection[SkillName]) -> dict[SkillName, tuple[Release, ...]]:
        """All releases of these skills: one question a registry."""
        found: dict[SkillName, tuple[Release, ...]] = {}
        by_registry: dict[str, list[SkillName]] = {}
        for skill in sorted(skills):
            by_registry.setdefault(self.file.registry_of(skill), []).append(skill)
        for name, wanted in by_registry.items():
            for skill, releases in self._listed(name, wanted).items():
                found[skill] = tuple(releases)
        for skill in self.stored.keys() & skills:
            locked, others = release_of(self.stored[skill]), found.get(skill, ())
            if all(release.version != locked.version for release in others):
                found[skill] = (*others, locked)
        for release in map(release_of, self.files):
            if release.skill in skills:
                others = found.get(release.skill, ())
                kept = tuple(r for r in others if r.version != release.version)
                found[release.skill] = (*kept, release)
        return found

    def _listed(
        self, name: str, wanted: Collection[SkillName]
    ) -> Mapping[SkillName, Sequence[Release]]:
        """What a registry lists; nothing where it is away and the store has all that is locked."""
        try:
            return self.index(name).releases(wanted)
        except SkillpmError as problem:
            if not self.stored.keys() >= set(wanted):
                raise
            listed = ", ".join(f"`{skill}`" for skill in sorted(wanted))
            self.session.say(
                f"note: {listed}: only the locked release is known, from the store "
                f"({problem.message})"
            )
            return {}

    def suggest(self, skill: SkillName) -> str:
        """A hint for a skill that is nowhere: the nearest name where it would be looked up."""
        return nearest_skill(skill, self.index(self.file.registry_of(skill)).skills())


def nearest_skill(skill: SkillName, known: list[SkillName]) -> str:
    """A hint that names the nearest skill, or how to look for one."""
    # Comparing costs microseconds a name, and a registry may list any number of them.
    first = sorted(known, key=lambda name: (name.namespace != skill.namespace, name))[:_COMPARED]
    search = f"`skillpm search {skill.name}` looks for it"
    return did_you_mean(str(skill), map(str, first), otherwise=search)
