"""The parts of a base, which no root covers: recorded by a pack, and compared when it is used."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from skillpm.checkpoint.files import OpenFile
from skillpm.checkpoint.folder import small_files
from skillpm.checkpoint.model import Checkpoint, read_small
from skillpm.checkpoint.parts import module_folders
from skillpm.flows.packs.side_files import files_of
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest
from skillpm.spec.parts import (
    MODULES,
    WEIGHTS,
    check_part_numbers,
    comparable_bytes,
    is_part_path,
    split_part,
    weights_header,
)

_PIECE = 1 << 20


def base_parts(base: Checkpoint) -> dict[str, Digest]:
    """Each file of the base's modules in folders of their own, by path; empty where it has none.

    JSON counts by what it says. Costs one read of the files.
    """
    named = module_folders(base.folder) if base.folder is not None else ()
    if base.folder is None or not named:
        return {}
    paths = [path for path in small_files(base) if path.parts[0] in named]
    listed = [MODULES, *(path.as_posix() for path in paths)]
    return {path: _digest(base.folder, path) for path in listed if is_part_path(path)}


def differing_parts(one: Checkpoint, other: Checkpoint) -> list[str]:
    """The files of parts that two models have differently, or that one of them lacks."""
    ours, theirs = base_parts(one), base_parts(other)
    return sorted(path for path in ours | theirs if ours.get(path) != theirs.get(path))


def changed_parts(
    manifests: Iterable[Manifest], base: Checkpoint, side: Mapping[str, bytes | None]
) -> list[tuple[str, str]]:
    """Each pack's files of the base that are another here, as (pack, path); what `side` has not."""
    found: dict[str, Digest | None] = {}
    changed: list[tuple[str, str]] = []
    for manifest in manifests:
        for path, digest in sorted(manifest.base.parts.items()):
            if path in side:
                continue
            if path not in found:
                there = base.folder is not None and (base.folder / path).is_file()
                found[path] = _digest(base.folder, path) if base.folder and there else None
            if found[path] != digest:
                changed.append((manifest.ref, path))
    return changed


def part_warnings(
    manifests: Iterable[Manifest], base: Checkpoint, side: Mapping[str, bytes | None]
) -> Iterator[str]:
    """One sentence for each pack whose base had other parts than this one."""
    by_pack: dict[str, list[str]] = {}
    for ref, path in changed_parts(manifests, base, side):
        by_pack.setdefault(ref, []).append(f"`{path}`")
    for ref, paths in by_pack.items():
        verb = "is another file" if len(paths) == 1 else "are other files"
        yield (
            f"{', '.join(paths)} of `{base.path}` {verb} than in the base that {ref} was cut "
            "from: with this base the model computes something else"
        )


def check_part_configs(base: Checkpoint, side: Mapping[str, bytes | None]) -> None:
    """Raise `ValueError` where a part's config that a pack brings asks for too much memory."""
    files = files_of(base)
    for path, data in side.items():
        part = split_part(path)
        if part is None or part[1] == WEIGHTS or data is None or not path.endswith(".json"):
            continue
        weights = f"{part[0]}/{WEIGHTS}"
        stored = side[weights] if weights in side else files(weights)
        config = json.parse(data, f"`{path}`", foreign=True)
        if isinstance(config, dict) and stored is not None:
            header = weights_header(stored, f"`{weights}`")
            specs = {placed.spec.name: placed.spec for placed in header.tensors}
            check_part_numbers(config, specs)


def _digest(folder: Path, path: str) -> Digest:
    if path.endswith(".json"):
        return Digest.of(comparable_bytes(path, read_small(folder / path)))
    file, found = OpenFile(folder / path), hashlib.sha256()
    for start in range(0, file.size, _PIECE):
        found.update(file.read(start, min(start + _PIECE, file.size)))
    return Digest(f"sha256:{found.hexdigest()}")
