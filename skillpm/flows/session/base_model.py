"""The project's base: where it lies, and whether it is the one."""

import os
from collections.abc import Mapping
from pathlib import Path

from skillpm.checkpoint.files import FileKey
from skillpm.checkpoint.model import Checkpoint
from skillpm.environment.project import ProjectFolder
from skillpm.errors import IntegrityError, SpecError
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest


def open_base(session: Session, project: ProjectFolder) -> Checkpoint:
    """The project's base: where the person says that it is, else where the project file does.

    Raises as `open_named_base` does.
    """
    return open_named_base(session, project.read_file().project.base)


def open_named_base(session: Session, named: str) -> Checkpoint:
    """As `open_base`, with `named` from a project file that was read already.

    Raises `SpecError` where a base that came with the project has a link that leads out of it: a
    graft would copy that file.
    """
    base = open_model(session.base or session.project / named)
    if session.base is None and base.folder is not None:
        _check_links(base.folder.resolve(), session.project.resolve())
    return base


def _check_links(base: Path, project: Path) -> None:
    if not base.is_relative_to(project):
        return
    for folder, folders, files in os.walk(base, followlinks=False):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink() and not path.resolve().is_relative_to(project):
                raise SpecError(
                    f"`{path}` is a link that leads out of the project: it is not followed",
                    hint=f"if this project is yours, name the base yourself: `--base {base}`",
                )


def check_base(found: Digest, expected: Digest, path: Path) -> None:
    """Raise `IntegrityError` unless this is the project's base."""
    if found != expected:
        raise IntegrityError(
            f"the project's base should be `{expected}`, but `{path}` is `{found}`",
            hint="name the right one with `--base PATH`",
        )


def file_keys(base: Checkpoint) -> dict[str, FileKey]:
    """What changes of each file when it does. Take it before the base is identified."""
    return {name: shard.file.key() for name, shard in base.shards.items()}


def check_unmoved(base: Checkpoint, keys: Mapping[str, FileKey]) -> None:
    """Raise `IntegrityError` where a file was exchanged between being hashed and being loaded."""
    if file_keys(open_model(base.path)) != keys:
        raise IntegrityError(
            f"`{base.path}` changed while it was loaded", hint="run the same command again"
        )


def footprint_fits(manifest: Manifest, leaves: Mapping[str, Digest]) -> bool:
    """Whether a base has every tensor that the pack touches as the pack was cut from it (law 8)."""
    return all(leaves.get(entry.tensor) == entry.leaf for entry in manifest.footprint)


def check_footprint(manifest: Manifest, leaves: Mapping[str, Digest]) -> None:
    """Raise `IntegrityError` with the first tensor that the base has otherwise than a pack says."""
    for entry in manifest.footprint:
        found = leaves.get(entry.tensor)
        if found != entry.leaf:
            raise IntegrityError(
                f"{manifest.ref} was cut from `{entry.tensor}` with leaf `{entry.leaf}`, "
                f"but the base has `{found}`"
            )
