"""Assemble a graft's folder: shards, index, small files, and the graft's metadata file."""

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
from skillpm.delta.decoding.compose import Composition
from skillpm.flows.packs.composition import check_composed
from skillpm.flows.session.session import Advance, Session
from skillpm.journal.atomic import sync_file, sync_folder
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import merkle_root
from skillpm.spec.safetensors import dump_header, layout

_FILES = 2
"""The number of files that are written in parallel."""


@dataclass(frozen=True)
class Assembly:
    """The inputs of a graft: base, composition, side files, metadata, and a reusable graft."""

    base: VerifiedCheckpoint
    composition: Composition
    side: Mapping[str, bytes | None]
    link: bool
    metadata: Mapping[str, Any]
    old: "ReusableGraft | None" = None


class ReusableGraft(Protocol):
    """An existing, intact graft whose files and tensors a new one may reuse."""

    def take(self, shard: str, target: Path) -> bool:
        """Place a file of the existing graft at `target`; False if it would differ."""
        ...

    def chunks(self, tensor: str) -> Iterator[bytes] | None:
        """Return the bytes of a tensor, not hashed; None if the tensor would differ."""
        ...

    def check_leaf(self, tensor: str, actual: Digest) -> None:
        """Raise `IntegrityError` if a reused tensor has an unexpected leaf."""
        ...


@dataclass(frozen=True)
class AssembledGraft:
    """An assembled folder: its root and leaves, and its bytes by origin.

    Every leaf was hashed from the bytes in the folder. `shared` counts the bytes shared with the
    base, `reused` those of the existing graft. `linked` are the files that are hard links to the
    base's files.
    """

    root: Digest
    leaves: Mapping[str, Digest]
    written: int
    shared: int
    reused: int = 0
    unchanged: bool = False
    linked: tuple[str, ...] = ()


def assemble(session: Session, assembly: Assembly, folder: Path) -> AssembledGraft:
    """Write a graft into an empty folder and fsync it. On an error, the caller removes it."""
    shards = shards_of(assembly)
    leaves, counts = _write_shards(session, assembly, folder, shards)
    check_composed(assembly.composition, assembly.base.identity, leaves)
    small = small_contents(assembly, shards)
    for name, data in small.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / STAMP).write_bytes(metadata_bytes(assembly, leaves, small))
    _sync_tree(folder)
    written = counts.written + sum(map(len, small.values()))
    root = merkle_root(leaves)
    return AssembledGraft(root, leaves, written, counts.shared, counts.reused, linked=counts.linked)


def metadata_bytes(
    assembly: Assembly, leaves: Mapping[str, Digest], small: Mapping[str, bytes]
) -> bytes:
    """Return the content of the metadata file, with the root and the digests of small files."""
    files = {name: str(Digest.of(data)) for name, data in sorted(small.items())}
    return json.pretty({**assembly.metadata, "root": str(merkle_root(leaves)), "files": files})


def shards_of(assembly: Assembly) -> dict[str, list[str]]:
    """Return the tensors of each file: as in the base, with added tensors in the last file."""
    shards: dict[str, list[str]] = {name: [] for name in sorted(assembly.base.shards)}
    last = max(shards)
    for tensor in sorted(assembly.composition.specs):
        known = tensor in assembly.base.specs
        shards[assembly.base.shard_of(tensor).name if known else last].append(tensor)
    return shards


@dataclass(frozen=True)
class _ByteCounts:
    """Bytes by origin, and the names of files that are hard links to the base's files."""

    written: int = 0
    shared: int = 0
    reused: int = 0
    linked: tuple[str, ...] = ()

    def plus(self, more: "_ByteCounts") -> "_ByteCounts":
        return _ByteCounts(
            self.written + more.written,
            self.shared + more.shared,
            self.reused + more.reused,
            self.linked + more.linked,
        )


def _write_shards(
    session: Session, assembly: Assembly, folder: Path, shards: Mapping[str, list[str]]
) -> tuple[dict[str, Digest], _ByteCounts]:
    """Return leaves and byte counts. Computes the next file while one is synced to disk."""
    specs = assembly.composition.specs
    advance = session.progress("grafting", sum(spec.nbytes for spec in specs.values()))
    leaves: dict[str, Digest] = {}
    counts = _ByteCounts()
    with ThreadPoolExecutor(session.workers) as pool, ThreadPoolExecutor(_FILES) as files:

        def write(name: str) -> tuple[dict[str, Digest], _ByteCounts]:
            return _write_file(assembly, folder / name, shards[name], (pool, advance))

        try:
            for file_leaves, placed in files.map(write, shards):
                leaves |= file_leaves
                counts = counts.plus(placed)
        except BaseException:
            files.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return leaves, counts


def _write_file(
    assembly: Assembly, path: Path, tensors: list[str], by: tuple[ThreadPoolExecutor, Advance]
) -> tuple[dict[str, Digest], _ByteCounts]:
    """Write, place or reuse one file, and hash the tensors from the bytes in the new file."""
    old, source = assembly.old, assembly.base.shards[path.name]
    if old is not None and old.take(path.name, path):
        leaves = hash_shard(open_shard(path), *by)
        for tensor, leaf in leaves.items():
            old.check_leaf(tensor, leaf)
        return leaves, _ByteCounts(reused=path.stat().st_size)
    if is_untouched(assembly.composition, source, tensors):
        placed = place_shard(source, path, link=assembly.link, pool=by[0], advance=by[1])
        for tensor, leaf in placed.leaves.items():
            assembly.base.check_leaf(tensor, assembly.base.identity.leaves[tensor], leaf)
        sync_file(path)
        names = (path.name,) if placed.linked else ()
        return placed.leaves, _ByteCounts(placed.written, placed.shared, linked=names)
    if not tensors:
        return {}, _ByteCounts()
    return _rewrite(assembly, path, tensors, by), _ByteCounts(path.stat().st_size)


def _rewrite(
    assembly: Assembly, path: Path, tensors: list[str], by: tuple[ThreadPoolExecutor, Advance]
) -> dict[str, Digest]:
    """Write one file: each tensor is decoded, or copied from the base or the existing graft."""
    old, composition, base = assembly.old, assembly.composition, assembly.base
    reused: set[str] = set()

    def chunks(tensor: str) -> Iterator[bytes]:
        if tensor not in composition.touched:
            return base.raw_chunks(tensor)
        existing = old.chunks(tensor) if old is not None else None
        if existing is None:
            return composition.chunks(tensor)
        reused.add(tensor)
        return existing

    specs = {tensor: composition.specs[tensor] for tensor in tensors}
    metadata = base.shards[path.name].header.metadata
    leaves = write_shard(path, specs, chunks, metadata=metadata, pool=by[0], advance=by[1])
    for tensor, leaf in leaves.items():
        if tensor not in composition.touched:
            base.check_leaf(tensor, assembly.base.identity.leaves[tensor], leaf)
        elif old is not None and tensor in reused:
            old.check_leaf(tensor, leaf)
    return leaves


def is_untouched(composition: Composition, shard: Shard, tensors: Collection[str]) -> bool:
    """Whether the graft has a file of the base without changes."""
    before = {placed.spec.name for placed in shard.header.tensors}
    return before == set(tensors) and not before & composition.touched.keys()


def header_of(composition: Composition, shard: Shard, tensors: Collection[str]) -> bytes:
    """Return the safetensors header of a graft's file, given the base's file of that name."""
    if is_untouched(composition, shard, tensors):
        return shard.file.read(0, shard.header.data_start)
    specs = [composition.specs[tensor] for tensor in tensors if tensor in composition.specs]
    return dump_header(layout(specs), shard.header.metadata)


def small_contents(assembly: Assembly, shards: Mapping[str, list[str]]) -> dict[str, bytes]:
    """Return the index, the side files, and the base's small files without a side file."""
    contents = {name: data for name, data in assembly.side.items() if data is not None}
    if assembly.base.index is not None:
        contents[assembly.base.index_name] = json.pretty(_index(assembly, shards))
    for path in small_files(assembly.base):
        if str(path) not in contents and str(path) not in assembly.side:
            assert assembly.base.folder is not None  # noqa: S101 - only a folder has small files
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
