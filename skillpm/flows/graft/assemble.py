"""Assembling a graft's folder: shards placed or rewritten, index, small files, the stamp."""

import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from skillpm.checkpoint.folder import STAMP, small_files
from skillpm.checkpoint.model import Shard, VerifiedCheckpoint, open_shard
from skillpm.checkpoint.place import hash_shard, place_shard
from skillpm.checkpoint.write import write_shard
from skillpm.delta.apply.compose import Composition
from skillpm.flows.packs.composition import check_composed
from skillpm.flows.session.session import Advance, Session
from skillpm.journal.atomic import sync_file, sync_folder
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import merkle_root
from skillpm.spec.safetensors import dump_header, layout

_FILES = 2
"""Files in flight."""


@dataclass(frozen=True)
class Assembly:
    """What a graft is made of."""

    base: VerifiedCheckpoint
    composition: Composition
    side: Mapping[str, bytes | None]
    link: bool
    stamp: Mapping[str, Any]
    old: "ReusableGraft | None" = None


class ReusableGraft(Protocol):
    """A graft that is there already, and is whole: what of it the new one may take over."""

    def take(self, shard: str, target: Path) -> bool:
        """Put a file that comes out the same in its place; False where it does not."""
        ...

    def chunks(self, tensor: str) -> Iterator[bytes] | None:
        """A tensor that comes out the same, not hashed; None where it does not."""
        ...

    def check_leaf(self, tensor: str, actual: Digest) -> None:
        """Raise `IntegrityError` unless what was taken over of a tensor has the leaf it should."""
        ...


@dataclass(frozen=True)
class AssembledGraft:
    """A folder that was assembled: its root and leaves; the bytes written, shared and taken over.

    Every leaf was hashed from the bytes that are in the folder. `shared` is with the base, `reused`
    what the graft had that was there before. `linked` are the files that are the base's own.
    """

    root: Digest
    leaves: Mapping[str, Digest]
    written: int
    shared: int
    reused: int = 0
    unchanged: bool = False
    linked: tuple[str, ...] = ()


def assemble(session: Session, assembly: Assembly, folder: Path) -> AssembledGraft:
    """Write everything into an empty folder, fsynced. The caller removes it where this raises."""
    shards = shards_of(assembly)
    leaves, total = _write_shards(session, assembly, folder, shards)
    check_composed(assembly.composition, assembly.base.identity, leaves)
    small = small_contents(assembly, shards)
    for name, data in small.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / STAMP).write_bytes(stamp_bytes(assembly, leaves, small))
    _sync_tree(folder)
    written = total.written + sum(map(len, small.values()))
    root = merkle_root(leaves)
    return AssembledGraft(root, leaves, written, total.shared, total.reused, linked=total.linked)


def stamp_bytes(
    assembly: Assembly, leaves: Mapping[str, Digest], small: Mapping[str, bytes]
) -> bytes:
    """What a graft says of itself, root and small files included."""
    files = {name: str(Digest.of(data)) for name, data in sorted(small.items())}
    return json.pretty({**assembly.stamp, "root": str(merkle_root(leaves)), "files": files})


def shards_of(assembly: Assembly) -> dict[str, list[str]]:
    """The tensors of each file: where the base has them; what is added goes into the last."""
    shards: dict[str, list[str]] = {name: [] for name in sorted(assembly.base.shards)}
    last = max(shards)
    for tensor in sorted(assembly.composition.specs):
        known = tensor in assembly.base.specs
        shards[assembly.base.shard_of(tensor).name if known else last].append(tensor)
    return shards


@dataclass(frozen=True)
class _Total:
    """Bytes by where they came from, and the names of files that are hard links to the base's."""

    written: int = 0
    shared: int = 0
    reused: int = 0
    linked: tuple[str, ...] = ()

    def plus(self, other: "_Total") -> "_Total":
        return _Total(
            self.written + other.written,
            self.shared + other.shared,
            self.reused + other.reused,
            self.linked + other.linked,
        )


def _write_shards(
    session: Session, assembly: Assembly, folder: Path, shards: Mapping[str, list[str]]
) -> tuple[dict[str, Digest], _Total]:
    """Leaves, and bytes. While one file is synced, the next is computed."""
    specs = assembly.composition.specs
    advance = session.progress("grafting", sum(spec.nbytes for spec in specs.values()))
    leaves: dict[str, Digest] = {}
    total = _Total()
    with ThreadPoolExecutor(session.workers) as pool, ThreadPoolExecutor(_FILES) as files:

        def write(name: str) -> tuple[dict[str, Digest], _Total]:
            return _write_file(assembly, folder / name, shards[name], (pool, advance))

        try:
            for found, placed in files.map(write, shards):
                leaves |= found
                total = total.plus(placed)
        except BaseException:
            files.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return leaves, total


def _write_file(
    assembly: Assembly, path: Path, tensors: list[str], by: tuple[ThreadPoolExecutor, Advance]
) -> tuple[dict[str, Digest], _Total]:
    """Write, place or take over one file. Every leaf is of the bytes that then are in the file."""
    old, source = assembly.old, assembly.base.shards[path.name]
    if old is not None and old.take(path.name, path):
        leaves = hash_shard(open_shard(path), *by)
        for tensor, leaf in leaves.items():
            old.check_leaf(tensor, leaf)
        return leaves, _Total(reused=path.stat().st_size)
    if is_untouched(assembly.composition, source, tensors):
        placed = place_shard(source, path, link=assembly.link, pool=by[0], advance=by[1])
        for tensor, leaf in placed.leaves.items():
            assembly.base.check_leaf(tensor, assembly.base.identity.leaves[tensor], leaf)
        sync_file(path)
        names = (path.name,) if placed.linked else ()
        return placed.leaves, _Total(placed.written, placed.shared, linked=names)
    if not tensors:
        return {}, _Total()
    return _rewrite(assembly, path, tensors, by), _Total(path.stat().st_size)


def _rewrite(
    assembly: Assembly, path: Path, tensors: list[str], by: tuple[ThreadPoolExecutor, Advance]
) -> dict[str, Digest]:
    """Write one file tensor by tensor: decoded, or as the base or the old graft has it."""
    old, composition, base = assembly.old, assembly.composition, assembly.base
    taken: set[str] = set()

    def chunks(tensor: str) -> Iterator[bytes]:
        if tensor not in composition.touched:
            return base.raw_chunks(tensor)
        kept = old.chunks(tensor) if old is not None else None
        if kept is None:
            return composition.chunks(tensor)
        taken.add(tensor)
        return kept

    specs = {tensor: composition.specs[tensor] for tensor in tensors}
    metadata = base.shards[path.name].header.metadata
    leaves = write_shard(path, specs, chunks, metadata=metadata, pool=by[0], advance=by[1])
    for tensor, leaf in leaves.items():
        if tensor not in composition.touched:
            base.check_leaf(tensor, assembly.base.identity.leaves[tensor], leaf)
        elif old is not None and tensor in taken:
            old.check_leaf(tensor, leaf)
    return leaves


def is_untouched(composition: Composition, shard: Shard, tensors: Collection[str]) -> bool:
    """Whether a file of the base goes into the graft as it is."""
    before = {placed.spec.name for placed in shard.header.tensors}
    return before == set(tensors) and not before & composition.touched.keys()


def header_of(composition: Composition, shard: Shard, tensors: Collection[str]) -> bytes:
    """The bytes before the tensors in a graft's file, by the base's file of that name."""
    if is_untouched(composition, shard, tensors):
        return shard.file.read(0, shard.header.data_start)
    specs = [composition.specs[tensor] for tensor in tensors if tensor in composition.specs]
    return dump_header(layout(specs), shard.header.metadata)


def small_contents(assembly: Assembly, shards: Mapping[str, list[str]]) -> dict[str, bytes]:
    """Index, side files, and all small files of the base that no side file replaces or removes."""
    contents = {name: data for name, data in assembly.side.items() if data is not None}
    if assembly.base.index is not None:
        contents[assembly.base.index_name] = json.pretty(_index(assembly, shards))
    for path in small_files(assembly.base):
        if str(path) not in contents and str(path) not in assembly.side:
            assert assembly.base.folder is not None  # noqa: S101 - a file alone has none
            contents[str(path)] = (assembly.base.folder / path).read_bytes()
    return contents


def _index(assembly: Assembly, shards: Mapping[str, list[str]]) -> dict[str, Any]:
    index = dict(assembly.base.index or {})
    specs = assembly.composition.specs
    metadata = index.get("metadata")
    total = sum(spec.nbytes for spec in specs.values())
    index["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), "total_size": total}
    index["weight_map"] = {t: name for name, tensors in shards.items() for t in tensors}
    return index


def _sync_tree(folder: Path) -> None:
    for path, _, files in os.walk(folder):
        for name in files:
            sync_file(Path(path, name))
        sync_folder(Path(path))
