"""`bundle`: write an environment into one file: lock, project file, base identity, all packs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skillpm.archive.bundle import is_bundle
from skillpm.archive.writer import write_bundle
from skillpm.environment.edit import edit_project, set_base, without_credentials
from skillpm.environment.project import ProjectFolder
from skillpm.errors import StateError, UsageError
from skillpm.files.output import check_output, staged_path
from skillpm.flows.locking.lock_check import stale_reason
from skillpm.flows.packs.protocol import check_is
from skillpm.flows.packs.quarantine import refuse_quarantined
from skillpm.flows.packs.registries import Registries
from skillpm.flows.packs.restore import fetch_all
from skillpm.flows.session.cleanup import clean_up, project_transaction
from skillpm.flows.session.session import Session
from skillpm.spec.bundle import BundledBase, BundleDocuments
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.project import ProjectFile, parse_project
from skillpm.store.packs import StoredPack, load_pack
from skillpm.store.scratch import staged_beside


@dataclass(frozen=True)
class Bundled:
    """A bundle that was written."""

    path: Path
    digest: Digest
    size: int
    base: BundledBase
    skills: tuple[LockedSkill, ...]


def write_environment(session: Session, path: Path, generation: int | None = None) -> Bundled:
    """Write the lock's environment, or that of a generation, to `path`.

    The same environment gives the same bytes: the base's path is left out. Missing blobs are
    fetched. Raises `StateError` if the lock is out of date, or if `path` is a file of another kind.
    """
    clean_up(session)
    project = ProjectFolder(session.project)
    text, lock = _settled(session, project, generation)
    _check_target(path)
    check_output(path)
    registries = Registries(session, parse_project(text))
    refuse_quarantined(registries, lock)
    fetch_all(session, registries, lock)
    packs = [load_pack(session.store, locked.digest) for locked in lock.skills.values()]
    for pack, locked in zip(packs, lock.skills.values(), strict=True):
        check_is(pack, locked.skill, locked.version)
    base = _base_of(lock, packs)
    bare = without_credentials(set_base(text, lock.base.name)).encode()
    documents = BundleDocuments(base.canonical(), lock.dumps().encode(), bare)
    blobs: Mapping[Digest, Path | bytes] = {**_files(session, packs), **documents.blobs}
    images = {
        f"{pack.manifest.skill}:{pack.manifest.version}": session.store.read(pack.digest)
        for pack in packs
    }
    with staged_beside(session.home, staged_path(path)):
        digest = write_bundle(path, documents.image(), images, blobs)
    return Bundled(path, digest, path.stat().st_size, base, tuple(lock.skills.values()))


def _settled(
    session: Session, project: ProjectFolder, generation: int | None
) -> tuple[str, Lockfile]:
    """As `_chosen`; if the lock is out of date, once more while holding the project's lock.

    Another command may be between writing the two files, or was killed there.
    """
    try:
        return _chosen(project, generation)
    except StateError:
        if not project.is_writable:
            raise
    with project_transaction(session, project, "bundle"):
        return _chosen(project, generation)


def _chosen(project: ProjectFolder, generation: int | None) -> tuple[str, Lockfile]:
    """The text of the project file and the lock, or those of a generation."""
    file: ProjectFile = project.read_file()
    text = project.read_text(project.file)
    if generation is not None:
        chosen = project.generation(generation)
        graft = chosen.lockfile.graft.table
        return edit_project(text, chosen.wishes, before=file.graft, after=graft), chosen.lockfile
    lock = project.read_lock()
    reason = stale_reason(file, lock)
    if lock is None or reason is not None:
        raise StateError(
            f"the environment cannot be bundled: {reason}",
            hint="run `skillpm lock` first",
        )
    return text, lock


def _check_target(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"`{path}` is a folder; expected a file name")
    if path.exists() and not is_bundle(path):
        raise StateError(
            f"`{path}` already exists and is not a bundle; it is not overwritten",
            hint="choose another name, or remove the file",
        )


def _base_of(lock: Lockfile, packs: list[StoredPack]) -> BundledBase:
    known = [pack.manifest.base for pack in packs if pack.manifest.base.root == lock.base.root]
    named = {"name": lock.base.name, "root": str(lock.base.root)}
    return BundledBase.model_validate({**(known[0].to_dict() if known else {}), **named})


def _files(session: Session, packs: list[StoredPack]) -> dict[Digest, Path]:
    """The path of each blob of the packs; the writer hashes them again."""
    blobs = {digest for pack in packs for digest in pack.image.blobs}
    return {digest: session.store.path_of(digest) for digest in blobs}
