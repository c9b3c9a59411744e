"""Read and check the metadata of a graft on disk as untrusted input (law 5)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from skillpm.checkpoint.folder import STAMP
from skillpm.errors import IntegrityError, NotFoundError, SpecError, StateError
from skillpm.files.folder import Folder
from skillpm.files.tree import hash_below
from skillpm.spec import json
from skillpm.spec.merkle import Identity

SMALL_LIMIT = 2_000_000_000
"""The size limit of all small files of a graft together, in bytes."""


def read_graft_metadata(folder: Path) -> dict[str, Any]:
    """Read a graft's metadata file. Raises `SpecError` if it is damaged or a link."""
    with Folder.open(folder) as opened:
        return json.parse_object(opened.read(STAMP), f"`{folder / STAMP}`")


def check_graft(folder: Path, metadata: dict[str, Any], identity: Identity) -> None:
    """Raise `IntegrityError` unless a graft has the root and the files of its metadata."""
    hint = f"`skillpm graft -o {folder}` writes the graft again"
    if metadata.get("root") != str(identity.root):
        raise IntegrityError(
            f"the graft in `{folder}` has the root `{identity.root}`; its `{STAMP}` records "
            f"`{metadata.get('root')}`",
            hint=hint,
        )
    for name, problem in wrong_files(folder, metadata):
        raise IntegrityError(f"`{folder / name}` {problem}", hint=hint)


def wrong_files(folder: Path, metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the small files that differ from a graft's metadata, each with its problem.

    Reads nothing outside the folder, whatever paths the metadata has. Costs one read of the files.
    """
    files, budget = metadata.get("files"), SMALL_LIMIT
    with Folder.open(folder) as opened:
        for name, digest in (files if isinstance(files, dict) else {}).items():
            try:
                actual, size = hash_below(opened, name, limit=budget)
            except NotFoundError:
                yield name, "is missing"
                continue
            except SpecError:
                yield name, "has an invalid path, or one outside the graft"
                continue
            except StateError as problem:
                yield name, f"cannot be read: {problem.message}"
                continue
            budget -= size
            if digest != str(actual):
                yield name, "differs from what skillpm wrote"
