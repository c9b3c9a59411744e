"""What a graft on disk says of itself, read as a stranger's (law 5)."""

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
"""Bytes of all the small files of a graft."""


def read_stamp(folder: Path) -> dict[str, Any]:
    """What a graft says of itself. Raises `SpecError` where that is damaged or a link."""
    with Folder.open(folder) as opened:
        return json.parse_object(opened.read(STAMP), f"`{folder / STAMP}`")


def check_graft(folder: Path, stamp: dict[str, Any], found: Identity) -> None:
    """Raise `IntegrityError` unless a graft on disk has the root and the files of its stamp."""
    hint = "`skillpm graft` writes it anew"
    if stamp.get("root") != str(found.root):
        raise IntegrityError(
            f"the graft in `{folder}` should be `{stamp.get('root')}`, is `{found.root}`", hint=hint
        )
    for name, problem in wrong_files(folder, stamp):
        raise IntegrityError(f"`{folder / name}` {problem}", hint=hint)


def wrong_files(folder: Path, stamp: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The small files that are not as a graft's stamp lists them, each with what is wrong.

    Nothing outside the folder is read, whatever the stamp names. Costs one read of the files.
    """
    files, left = stamp.get("files"), SMALL_LIMIT
    with Folder.open(folder) as opened:
        for name, digest in (files if isinstance(files, dict) else {}).items():
            try:
                found, size = hash_below(opened, name, limit=left)
            except NotFoundError:
                yield name, "is missing"
                continue
            except SpecError:
                yield name, "lies outside of the graft, or nowhere"
                continue
            except StateError as problem:
                yield name, f"cannot be read: {problem.message}"
                continue
            left -= size
            if digest != f"sha256:{found}":
                yield name, "is not what the graft wrote"
