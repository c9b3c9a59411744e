"""Find the blobs that are needed: the packs that projects need, and the blobs of these packs.

A pack is needed if the lock or a kept generation of a known project names it, directly or through a
layered pack.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from skillpm.environment.known_projects import KnownProject
from skillpm.environment.project import ProjectFolder
from skillpm.errors import SkillpmError
from skillpm.spec.closure import closure
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import parse_manifest
from skillpm.spec.oci import parse_image
from skillpm.store.blobs import Store


@dataclass(frozen=True, order=True)
class NeededPack:
    """A pack that a generation or a lock names, and the registry that it came from."""

    digest: Digest
    ref: str
    registry: str


@dataclass(frozen=True)
class ProjectNeeds:
    """The packs that a project needs, and notes on files of the project that cannot be read."""

    packs: frozenset[Digest]
    roots: frozenset[NeededPack]
    notes: tuple[str, ...]


def needs_of(known: KnownProject, without: Collection[int] = ()) -> ProjectNeeds:
    """The packs of the lock and of every generation except those in `without`.

    If the project is away or a part of it cannot be read, all packs that it was ever known to need
    are included.
    """
    if known.presence() != "here":
        return ProjectNeeds(known.packs, frozenset(), ())
    project, roots, notes = ProjectFolder(known.folder), set[NeededPack](), []
    for reading in (_generations(project, without), _locked(project)):
        try:
            roots.update(reading)
        except (SkillpmError, OSError) as problem:
            reason = str(problem).splitlines()[0]
            notes.append(
                f"`{known.folder}` cannot be read, so all packs that it ever needed are kept "
                f"({reason})"
            )
    packs = {root.digest for root in roots} | (known.packs if notes else frozenset())
    return ProjectNeeds(frozenset(packs), frozenset(roots), tuple(notes))


def _generations(project: ProjectFolder, without: Collection[int]) -> Iterator[NeededPack]:
    """The packs of all generations on disk, including one that a killed command wrote."""
    for generation in project.all_generations():
        if generation.pruned is None and generation.number not in without:
            for entry in generation.skills:
                yield NeededPack(entry.digest, entry.ref, entry.registry)


def _locked(project: ProjectFolder) -> Iterator[NeededPack]:
    lock = project.read_lock()
    for entry in lock.skill if lock else ():
        yield NeededPack(entry.digest, entry.ref, entry.registry)


@dataclass
class Reached:
    """Each blob with the packs that consist of it, and the packs whose documents are damaged.

    `damaged` has the reasons, `sizes` the bytes of blobs, `names` the releases of packs.
    """

    blobs: dict[Digest, set[Digest]] = field(default_factory=dict)
    damaged: dict[Digest, str] = field(default_factory=dict)
    sizes: dict[Digest, int] = field(default_factory=dict)
    names: dict[Digest, str] = field(default_factory=dict)


def reach(store: Store, packs: Iterable[Digest]) -> Reached:
    """Every blob of these packs and of the packs that they are layered on.

    Reads the documents of the packs in the store.
    """
    reached = Reached()

    def layers(digest: Digest) -> list[Digest]:
        reached.blobs.setdefault(digest, set()).add(digest)
        try:
            return _read(store, digest, reached)
        except SkillpmError as problem:
            reached.damaged[digest] = problem.message
            return []

    closure(sorted(packs), layers)
    return reached


def _read(store: Store, digest: Digest, reached: Reached) -> list[Digest]:
    """Add the blobs of one pack to `reached`; return the packs that it is layered on."""
    if store.status(digest) is None:
        return []
    data = store.read(digest)
    image = parse_image(data)
    reached.sizes[digest] = len(data)
    for blob, size in image.blobs.items():
        reached.blobs.setdefault(blob, set()).add(digest)
        reached.sizes[blob] = size
    if store.status(image.config.digest) is None:
        return []
    manifest = parse_manifest(store.read(image.config.digest))
    reached.names[digest] = manifest.ref
    return [layer.digest for layer in manifest.over]
