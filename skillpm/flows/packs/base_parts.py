"""Compare the parts of bases: modules in folders of their own, such as `1_Pooling/`.

A model's root does not cover its parts. A pack records their digests, and skillpm compares them
when the pack is used.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from skillpm.checkpoint.files import OpenFile
from skillpm.checkpoint.folder import small_files
from skillpm.checkpoint.model import Checkpoint, read_small
from skillpm.checkpoint.parts import module_folders
from skillpm.files.hashing import digest_of
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


def base_parts(base: Checkpoint) -> dict[str, Digest]:
    """The digest of each file of the base's parts, by path; empty if the base has no parts.

    A JSON file is digested in canonical form, so formatting does not matter. Reads every file once.
    """
    folders = module_folders(base.folder) if base.folder is not None else ()
    if base.folder is None or not folders:
        return {}
    paths = [path for path in small_files(base) if path.parts[0] in folders]
    listed = [MODULES, *(path.as_posix() for path in paths)]
    return {path: _digest(base.folder, path) for path in listed if is_part_path(path)}


def differing_parts(first: Checkpoint, second: Checkpoint) -> list[str]:
    """The files of parts that differ between two models, or that only one of them has."""
    left, right = base_parts(first), base_parts(second)
    return sorted(path for path in left | right if left.get(path) != right.get(path))


def changed_parts(
    manifests: Iterable[Manifest], base: Checkpoint, side: Mapping[str, bytes | None]
) -> list[tuple[str, str]]:
    """The files of parts that differ from those of a pack's own base, as (pack, path).

    Files that are in `side` are skipped: the packs replace them.
    """
    digests: dict[str, Digest | None] = {}
    changed: list[tuple[str, str]] = []
    for manifest in manifests:
        for path, digest in sorted(manifest.base.parts.items()):
            if path in side:
                continue
            if path not in digests:
                exists = base.folder is not None and (base.folder / path).is_file()
                digests[path] = _digest(base.folder, path) if base.folder and exists else None
            if digests[path] != digest:
                changed.append((manifest.ref, path))
    return changed


def part_warnings(
    manifests: Iterable[Manifest], base: Checkpoint, side: Mapping[str, bytes | None]
) -> Iterator[str]:
    """A warning for each pack that was built for a base with other parts than this base."""
    by_pack: dict[str, list[str]] = {}
    for ref, path in changed_parts(manifests, base, side):
        by_pack.setdefault(ref, []).append(f"`{path}`")
    for ref, paths in by_pack.items():
        verb = "differs" if len(paths) == 1 else "differ"
        yield (
            f"{', '.join(paths)} of `{base.label}` {verb} from the base that {ref} was built for: "
            "the results of the model will differ"
        )


def check_part_configs(base: Checkpoint, side: Mapping[str, bytes | None]) -> None:
    """Raise `ValueError` if a pack's config for a part does not fit the part's tensors.

    Such a config may make a library allocate too much memory.
    """
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
    return digest_of(OpenFile(folder / path))
