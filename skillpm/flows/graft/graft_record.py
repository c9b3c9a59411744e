"""The metadata of a graft: what is recorded, and its check as untrusted input (law 5)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from skillpm.checkpoint.folder import STAMP
from skillpm.delta.decoding.compose import Composition
from skillpm.errors import IntegrityError, NotFoundError, SpecError, StateError
from skillpm.files.folder import Folder
from skillpm.files.tree import hash_below
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.merkle import Identity
from skillpm.spec.names import SkillName

SMALL_LIMIT = 2_000_000_000
"""The size limit of all small files of a graft together, in bytes."""
SUMS = "sums"
"""The key of the digests of `merge_digests`."""


def graft_metadata(lock: Lockfile, base: Digest) -> dict[str, object]:
    """Return a graft's metadata, without the digests of what is in it."""
    return {
        "format": 1,
        "base_root": str(base),
        "graft": lock.graft.merge_options,
        "skills": [
            {
                "skill": str(locked.skill),
                "version": str(locked.version),
                "digest": str(locked.digest),
                "weight": locked.weight,
            }
            for locked in lock.skills.values()
        ],
    }


def merge_digests(composition: Composition, locked: Sequence[LockedSkill]) -> dict[str, str]:
    """Return a digest of the merge inputs of each tensor whose leaf is in no manifest.

    Packs and weights determine a sum, because a pack's digest covers the packs it is layered on.
    For another merge method, the digest also covers the method, its settings and its vectors.
    """
    parts = {entry.skill: [str(entry.digest), entry.weight] for entry in locked}
    return {
        tensor: str(Digest.of(json.canonical(_recipe(composition, tensor, parts))))
        for tensor in sorted(composition.rewritten)
        if manifest_leaf(composition, tensor) is None
    }


def _recipe(
    composition: Composition, tensor: str, parts: Mapping[SkillName, list[object]]
) -> object:
    if not composition.merges(tensor):
        return [parts[skill] for skill in composition.touched[tensor]]
    vectors = composition.vectors(tensor)
    return {
        "method": composition.merging.method,
        "settings": composition.merging.all_settings,
        "vectors": {str(top): [parts[s] for s in skills] for top, skills in vectors.items()},
    }


def manifest_leaf(composition: Composition, tensor: str) -> Digest | None:
    """Return the leaf of a tensor that one pack determines, from its manifest; else None."""
    entry = composition.sole(tensor)
    return entry.result if entry is not None else None


def metadata_bytes(metadata: Mapping[str, Any], root: Digest, small: Mapping[str, bytes]) -> bytes:
    """Return the content of the metadata file, with the root and the digests of small files."""
    files = {name: str(Digest.of(data)) for name, data in sorted(small.items())}
    return json.pretty({**metadata, "root": str(root), "files": files})


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
