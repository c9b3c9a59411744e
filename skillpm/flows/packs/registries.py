"""The registries of a project. A namespace is bound to one registry, the default one otherwise."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from skillpm.errors import SkillpmError, StateError, UsageError
from skillpm.flows.packs.protocol import AnyPack, release_of
from skillpm.flows.session.bindings import check_can_be_made, location_of
from skillpm.flows.session.session import Session
from skillpm.index.empty import EmptyIndex, is_uninitialized
from skillpm.index.protocol import Index
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.nearest import did_you_mean
from skillpm.spec.project import DEFAULT_REGISTRY, ProjectFile
from skillpm.spec.release import Release
from skillpm.store.sources import BlobSource

if TYPE_CHECKING:
    from skillpm.archive.reader import PackFile


_COMPARED = 5000


@dataclass(frozen=True)
class _LazySource:
    """The blobs of an index that is opened when the first one is asked for."""

    connect: Callable[[], Index]

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open a blob. Raises what opening the registry raises."""
        return self.connect().open_blob(digest)


@dataclass
class Registries:
    """The registries of a project by name. Each is opened when it is first needed.

    `files` are packs from files; they are listed as if they were published. `stored` are the locked
    packs whose documents are in the store. A stored pack is listed too if its registry does not
    list its version or cannot be reached, so that skills can be added to a project whose registry
    is missing.
    """

    session: Session
    file: ProjectFile
    files: "tuple[PackFile, ...]" = ()
    stored: Mapping[SkillName, AnyPack] = field(default_factory=dict)
    _open: dict[str, Index] = field(default_factory=dict)

    def location(self, name: str) -> RegistryLocation:
        """The location of a registry. Raises `UsageError` for a name not in skillpm.toml."""
        return location_of(self.session, self.file, name)

    def index(self, name: str) -> Index:
        """The index of a registry. Raises `RegistryError` if it cannot be reached."""
        location = self.location(name)
        if self.files and location.folder is not None and is_uninitialized(Path(location.folder)):
            return EmptyIndex()  # the registry is created when the files are published
        if name not in self._open:
            self._open[name] = self.session.connect(location, False)
        return self._open[name]

    def close(self) -> None:
        """Close all registries that are open. Threads that read from them get an error."""
        for index in list(self._open.values()):
            index.close()

    def source(self, name: str) -> BlobSource:
        """The blobs of a registry, which is opened when the first one is asked for."""
        return _LazySource(lambda: self.index(name))

    def check_files(self) -> None:
        """Check that all pack files can be published, before the first one is published.

        Raises `UsageError` or `StateError` for the first file that cannot.
        """
        for pack in self.files:
            skill, version = pack.manifest.skill, pack.manifest.version
            name = self.file.registry_of(skill)
            if name != DEFAULT_REGISTRY:
                raise UsageError(
                    f"the namespace `{skill.namespace}` is bound to the registry `{name}`, so its "
                    "packs cannot be installed from a file",
                    hint=f"publish it, `skillpm publish {pack.path}`, then install it by name",
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
        """Publish a pack file to a registry. Creates the registry if it does not exist."""
        self._open[name] = self.session.connect(self.location(name), True)
        self._open[name].publish(pack.image_bytes, pack.open_blob, now=self.session.now)

    def releases(self, skills: Collection[SkillName]) -> dict[SkillName, tuple[Release, ...]]:
        """All releases of these skills. Costs one request to each registry."""
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
        """The releases that a registry lists.

        If the registry cannot be reached and all `wanted` skills are in the store, this prints a
        note and returns nothing.
        """
        try:
            listed = self.index(name).releases(wanted)
        except SkillpmError as problem:
            if not self.stored.keys() >= set(wanted):
                raise
            names = ", ".join(f"`{skill}`" for skill in sorted(wanted))
            self.session.say(
                f"note: {names}: only the locked release is known, from the store "
                f"({problem.message})"
            )
            return {}
        self.session.states.record(listed)
        return listed

    def suggest(self, skill: SkillName) -> str:
        """A hint for a skill that does not exist: the most similar name in its registry."""
        return nearest_skill(skill, self.index(self.file.registry_of(skill)).skills())


def nearest_skill(skill: SkillName, known: list[SkillName]) -> str:
    """A hint that names the most similar skill, or the command that searches for one."""
    # One comparison takes microseconds. The limit bounds the time for a registry of any size.
    first = sorted(known, key=lambda name: (name.namespace != skill.namespace, name))[:_COMPARED]
    search = f"to search for it: `skillpm search {skill.name}`"
    return did_you_mean(str(skill), map(str, first), otherwise=search)
