"""Assembling a graft's folder: shards placed or rewritten, index, small files, the stamp."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.checkpoint.folder import STAMP, small_files
from skillpm.checkpoint.model import CONFIG, INDEX, Checkpoint, Shard
from skillpm.checkpoint.place import Placement, place
from skillpm.checkpoint.write import write_shard
from skillpm.delta.compose import Composition
from skillpm.errors import IntegrityError
from skillpm.flows.compose import check_effect, check_results, total_bytes
from skillpm.flows.setting import Advance, Setting
from skillpm.journal.atomic import sync_file, sync_folder
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import Identity, merkle_root

_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "shared.weight")
_HEAD = "lm_head.weight"
_FILES = 2
"""Files in flight."""


@dataclass(frozen=True)
class Assembly:
    """What a graft is made of."""

    base: Checkpoint
    identity: Identity
    composition: Composition
    side: Mapping[str, bytes]
    link: bool


@dataclass(frozen=True)
class Written:
    """A folder that was assembled: its root, the bytes written, and those shared with the base."""

    root: Digest
    written: int
    shared: int


def assemble(setting: Setting, assembly: Assembly, folder: Path, stamp: dict[str, Any]) -> Written:
    """Write everything into an empty folder, fsynced. The caller removes it where this raises."""
    shards = _shards(assembly)
    leaves, written, shared = _write_shards(setting, assembly, folder, shards)
    check_results(assembly.composition, {n: leaves[n] for n in assembly.composition.rewritten})
    check_effect(assembly.composition, assembly.identity, leaves)
    root = merkle_root(leaves)
    small = _write_small(assembly, folder, shards, leaves)
    written += sum((folder / name).stat().st_size for name in small)
    files = {name: str(digest) for name, digest in sorted(small.items())}
    (folder / STAMP).write_bytes(json.pretty({**stamp, "root": str(root), "files": files}))
    _sync_tree(folder)
    return Written(root, written, shared)


def _shards(assembly: Assembly) -> dict[str, list[str]]:
    """The tensors of each file: where the base has them; what is added goes into the last."""
    shards: dict[str, list[str]] = {name: [] for name in sorted(assembly.base.shards)}
    last = max(shards)
    for tensor in sorted(assembly.composition.specs):
        known = tensor in assembly.base.specs
        shards[assembly.base.shard_of(tensor).name if known else last].append(tensor)
    return shards


def _write_shards(
    setting: Setting, assembly: Assembly, folder: Path, shards: Mapping[str, list[str]]
) -> tuple[dict[str, Digest], int, int]:
    """Leaves, bytes written, bytes shared. While one file is synced, the next is computed."""
    advance = setting.progress("grafting", total_bytes(assembly.composition))
    leaves: dict[str, Digest] = {}
    written = shared = 0
    with ThreadPoolExecutor(setting.workers) as pool, ThreadPoolExecutor(_FILES) as files:

        def write(name: str) -> tuple[dict[str, Digest], Placement]:
            return _write_file(assembly, folder / name, shards[name], (pool, advance))

        try:
            for found, placed in files.map(write, shards):
                leaves |= found
                written, shared = written + placed.written, shared + placed.shared
        except BaseException:
            files.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return leaves, written, shared


def _write_file(
    assembly: Assembly, path: Path, tensors: list[str], by: tuple[ThreadPoolExecutor, Advance]
) -> tuple[dict[str, Digest], Placement]:
    source = assembly.base.shards[path.name]
    if _is_untouched(assembly, source, tensors):
        placed = place(source.file.path, path, link=assembly.link)
        sync_file(path)
        return {tensor: assembly.identity.leaves[tensor] for tensor in tensors}, placed
    if not tensors:
        return {}, Placement(0, 0)
    specs = {tensor: assembly.composition.specs[tensor] for tensor in tensors}
    metadata, chunks = source.header.metadata, assembly.composition.chunks
    leaves = write_shard(path, specs, chunks, metadata=metadata, pool=by[0], advance=by[1])
    return leaves, Placement(path.stat().st_size, 0)


def _is_untouched(assembly: Assembly, shard: Shard, tensors: list[str]) -> bool:
    before = {placed.spec.name for placed in shard.header.tensors}
    return before == set(tensors) and not before & assembly.composition.touched.keys()


def _write_small(
    assembly: Assembly, folder: Path, shards: Mapping[str, list[str]], leaves: Mapping[str, Digest]
) -> dict[str, Digest]:
    """Index, side files, and all small files of the base that no side file replaces."""
    written: dict[str, Digest] = {}
    contents = dict(assembly.side)
    untied = _untied(assembly, leaves, contents.get(CONFIG))
    if untied is not None:
        contents[CONFIG] = untied
    if assembly.base.index is not None:
        contents[INDEX] = json.pretty(_index(assembly, shards))
    for name, data in contents.items():
        (folder / name).write_bytes(data)
        written[name] = Digest.of(data)
    for path in small_files(assembly.base):
        if str(path) in contents:
            continue
        assert assembly.base.folder is not None  # noqa: S101 - a file alone has no small files
        data = (assembly.base.folder / path).read_bytes()
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        written[str(path)] = Digest.of(data)
    return written


def _index(assembly: Assembly, shards: Mapping[str, list[str]]) -> dict[str, Any]:
    index = dict(assembly.base.index or {})
    specs = assembly.composition.specs
    metadata = index.get("metadata")
    total = sum(spec.nbytes for spec in specs.values())
    index["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), "total_size": total}
    index["weight_map"] = {t: name for name, tensors in shards.items() for t in tensors}
    return index


def _untied(assembly: Assembly, leaves: Mapping[str, Digest], config: bytes | None) -> bytes | None:
    """The config with `tie_word_embeddings` false, where the graft separates head and embedding.

    A head that is stored and differs would else be overwritten by the embedding on loading.
    """
    if not assembly.composition.touched:
        return None
    plain = json.parse_object(config, CONFIG) if config else assembly.base.config
    heads = [name for name in leaves if name.endswith(_HEAD)]
    embeddings = [name for name in leaves if name.endswith(_EMBEDDINGS)]
    if plain is None or not heads or not embeddings or not plain.get("tie_word_embeddings", True):
        return None
    if leaves[heads[0]] in {leaves[name] for name in embeddings}:
        return None
    return json.pretty({**plain, "tie_word_embeddings": False})


def _sync_tree(folder: Path) -> None:
    for path, _, files in os.walk(folder):
        for name in files:
            sync_file(Path(path, name))
        sync_folder(Path(path))


def read_stamp(folder: Path) -> dict[str, Any]:
    """What a graft says of itself. Raises `SpecError` where that is damaged."""
    return json.parse_object((folder / STAMP).read_bytes(), f"`{folder / STAMP}`")


def check_graft(folder: Path, stamp: dict[str, Any], found: Identity) -> None:
    """Raise `IntegrityError` unless a graft on disk has the root and the files of its stamp."""
    hint = "`skillpm graft` writes it anew"
    if stamp.get("root") != str(found.root):
        raise IntegrityError(
            f"the graft in `{folder}` should be `{stamp.get('root')}`, is `{found.root}`", hint=hint
        )
    files = stamp.get("files")
    for name, digest in (files if isinstance(files, dict) else {}).items():
        path = folder / name
        if not path.is_file() or str(Digest.of(path.read_bytes())) != digest:
            raise IntegrityError(f"`{path}` is not what the graft wrote", hint=hint)
