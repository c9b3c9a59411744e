"""Open the project's base model, and check that it is the right one."""

import os
from collections.abc import Mapping
from pathlib import Path

from skillpm.checkpoint.files import FileKey
from skillpm.checkpoint.find_model import named_model
from skillpm.checkpoint.hub_cache import MissingRevisionError, NotCachedError
from skillpm.checkpoint.model import Checkpoint
from skillpm.environment.project import ProjectFolder
from skillpm.errors import IntegrityError, NotFoundError, SpecError
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.digests import Digest
from skillpm.spec.hub import PREFIX
from skillpm.spec.manifest import Manifest


def open_base(session: Session, project: ProjectFolder) -> Checkpoint:
    """Open the project's base: the model of `--base`, or else of the project file.

    Raises `SpecError` as `open_named_base` does.
    """
    return open_named_base(session, project.read_file().project.base)


def open_named_base(session: Session, named: str) -> Checkpoint:
    """Open the project's base; `named` is the base in a project file that was read already.

    Raises `NotFoundError` if there is no base, and `SpecError` if the base is inside the project
    and contains a link to a file outside the project: a graft would copy that file.
    """
    if session.base is not None:
        return open_model(session.base, session.say)
    path = named_model(named, session.project)
    if not str(path).startswith(PREFIX) and not path.exists():
        raise NotFoundError(
            f"there is no model at `{path}`", hint="if the base was moved: `--base ./model`"
        )
    try:
        base = open_model(path, session.say)
    except NotCachedError as problem:
        if named.startswith(PREFIX):
            raise
        raise NotFoundError(
            f"there is no model at `{session.project / named}`, and {problem.message}",
            hint=f"if the base was moved: `--base ./model`; {problem.hint}",
        ) from problem
    except MissingRevisionError as problem:
        if problem.newest is not None:
            problem.hint = (
                f"{problem.hint}; if {problem.newest.label} has the same weights: "
                f"`--base {problem.newest.label}`"
            )
        raise
    if base.folder is not None:
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
                    f"`{path}` is a link that leads out of the project; skillpm does not follow it",
                    hint=f"if you trust this project, name its base: `--base {base}`",
                )


def check_base(found: Digest, expected: Digest, label: str | Path) -> None:
    """Raise `IntegrityError` unless this is the project's base; `label` names it in the message."""
    if found != expected:
        raise IntegrityError(
            f"the project's base should be `{expected}`, but `{label}` is `{found}`",
            hint="name the right base: `--base ./model`",
        )


def file_keys(base: Checkpoint) -> dict[str, FileKey]:
    """The key of each shard (device, inode, size, times). Take it before the base is hashed."""
    return {name: shard.file.key() for name, shard in base.shards.items()}


def check_unmoved(base: Checkpoint, keys: Mapping[str, FileKey]) -> None:
    """Raise `IntegrityError` if a file was replaced between being hashed and being loaded."""
    if file_keys(open_model(base.path)) != keys:
        raise IntegrityError(
            f"`{base.label}` changed while it was loaded", hint="run the same command again"
        )


def footprint_fits(manifest: Manifest, leaves: Mapping[str, Digest]) -> bool:
    """Whether the base has the same leaf as the pack's base for every changed tensor (law 8)."""
    return all(leaves.get(entry.tensor) == entry.leaf for entry in manifest.footprint)


def check_footprint(manifest: Manifest, leaves: Mapping[str, Digest]) -> None:
    """Raise `IntegrityError` for the first tensor whose leaf differs from the pack's footprint."""
    for entry in manifest.footprint:
        leaf = leaves.get(entry.tensor)
        if leaf != entry.leaf:
            raise IntegrityError(
                f"{manifest.ref} changes `{entry.tensor}` and expects leaf `{entry.leaf}`, "
                f"but the base has `{leaf}`"
            )
