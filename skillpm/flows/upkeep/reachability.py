"""What holds blobs in the store: the packs that projects need, and the blobs of those packs."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from skillpm.environment.known import KnownProject
from skillpm.environment.project import ProjectFolder
from skillpm.errors import SkillpmError
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import parse_manifest
from skillpm.spec.oci import parse_image
from skillpm.store.blobs import Store


@dataclass(frozen=True, order=True)
class NeededPack:
    """A pack that a project needs, by generation or lock; and the registry that it came from."""

    digest: Digest
    ref: str
    registry: str


@dataclass(frozen=True)
class ProjectNeeds:
    """What one project needs, and what of it could not be read."""

    packs: frozenset[Digest]
    roots: frozenset[NeededPack]
    notes: tuple[str, ...]


def needs_of(known: KnownProject, without: Collection[int] = ()) -> ProjectNeeds:
    """The packs of every generation but those `without`, and of the lock.

    Where a project is away, or a part of it cannot be read, all that it was ever known to need is
    kept too.
    """
    if known.presence() != "here":
        return ProjectNeeds(known.packs, frozenset(), ())
    project, roots, notes = ProjectFolder(known.folder), set[NeededPack](), []
    for reading in (_generations(project, without), _locked(project)):
        try:
            roots.update(reading)
        except (SkillpmError, OSError) as problem:
            notes.append(f"`{known.folder}` cannot be read: all that it ever needed is kept "
                         f"({str(problem).splitlines()[0]})")  # fmt: skip
    packs = {root.digest for root in roots} | (known.packs if notes else frozenset())
    return ProjectNeeds(frozenset(packs), frozenset(roots), tuple(notes))


def _generations(project: ProjectFolder, without: Collection[int]) -> Iterator[NeededPack]:
    """All that are on disk, one that a cut-off command was about to switch to as well."""
    for generation in project.all_generations():
        if generation.pruned is None and generation.number not in without:
            for one in generation.skills:
                yield NeededPack(one.digest, one.ref, one.registry)


def _locked(project: ProjectFolder) -> Iterator[NeededPack]:
    lock = project.read_lock()
    for one in lock.skill if lock else ():
        yield NeededPack(one.digest, one.ref, one.registry)


@dataclass
class Reached:
    """The blobs that packs consist of, by the packs; and packs whose documents are damaged."""

    blobs: dict[Digest, set[Digest]] = field(default_factory=dict)
    damaged: dict[Digest, str] = field(default_factory=dict)
    sizes: dict[Digest, int] = field(default_factory=dict)
    names: dict[Digest, str] = field(default_factory=dict)


def reach(store: Store, packs: Iterable[Digest]) -> Reached:
    """Every blob of these packs and of all packs that they lie over, by what the store holds."""
    found, queue, seen = Reached(), sorted(packs), set[Digest]()
    while queue:
        digest = queue.pop()
        if digest in seen:
            continue
        seen.add(digest)
        found.blobs.setdefault(digest, set()).add(digest)
        try:
            queue.extend(_read(store, digest, found))
        except SkillpmError as problem:
            found.damaged[digest] = problem.message
    return found


def _read(store: Store, digest: Digest, found: Reached) -> list[Digest]:
    """Note the blobs of one pack; give the packs that it lies over."""
    if store.status(digest) is None:
        return []
    data = store.read(digest)
    image = parse_image(data)
    found.sizes[digest] = len(data)
    for blob, size in image.blobs.items():
        found.blobs.setdefault(blob, set()).add(digest)
        found.sizes[blob] = size
    if store.status(image.config.digest) is None:
        return []
    manifest = parse_manifest(store.read(image.config.digest))
    found.names[digest] = manifest.ref
    return [lower.digest for lower in manifest.over]
