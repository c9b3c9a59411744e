"""Compute the identity of a model: hash all tensors in parallel, with a cache by file."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from skillpm.checkpoint.files import FileKey
from skillpm.checkpoint.model import Checkpoint, Shard
from skillpm.errors import SkillpmError
from skillpm.files.access import HomeFolder, open_below
from skillpm.parallel import Advance, batches, map_batches, no_advance, thread_pool
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import Identity, leaf_of_chunks

SETTLED_NS = 2_000_000_000
"""A file that changed less than 2 s before it was read is not cached.

It may change again without a change of its times.
"""


class LeafCache:
    """A cache of leaves, one small JSON file per file key. A damaged entry is a cache miss."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _open(self, *, create: bool = False) -> HomeFolder:
        above = self.folder.parent
        return open_below(above.parent, above.name, self.folder.name, create=create)

    def get(self, key: FileKey) -> dict[str, Digest] | None:
        """The cached leaves of the file with this key; None if there are none."""
        name = _name(key)
        try:
            with self._open() as folder:
                plain = json.parse_object(folder.read(name), "a cached leaf list")
                if plain["key"] != list(key):
                    return None
                with suppress(OSError):  # `gc` removes entries that were not used for long
                    os.utime(name, dir_fd=folder.fd, follow_symlinks=False)
            return {tensor: Digest(text) for tensor, text in plain["leaves"].items()}
        except (SkillpmError, KeyError, AttributeError, TypeError):
            return None

    def put(self, key: FileKey, leaves: dict[str, Digest]) -> None:
        """Save the leaves of a file. A cache that cannot be written is ignored."""
        plain = {"key": list(key), "leaves": {name: str(leaf) for name, leaf in leaves.items()}}
        with suppress(SkillpmError), self._open(create=True) as folder:
            folder.write(_name(key), json.canonical(plain))

    def forget(self, key: FileKey) -> None:
        """Remove the entry of a file, if there is one. A failure is ignored."""
        with suppress(SkillpmError), self._open() as folder:
            folder.remove(_name(key))


def _name(key: FileKey) -> str:
    return f"{Digest.of(json.canonical(list(key))).hex}.json"


def identify(  # noqa: PLR0913 - keyword options
    model: Checkpoint,
    cache: LeafCache | None = None,
    *,
    trusted: bool = True,
    now_ns: int = 0,
    workers: int = 2,
    advance: Advance = no_advance,
    leaves: Mapping[str, Digest] | None = None,
) -> Identity:
    """The identity of a model. Costs one read and SHA-256 of the files that are not in the cache.

    A cache that is not `trusted` is not read, and its entries are replaced. `leaves` are those of
    tensors that were hashed since `now_ns`; they are not read again.
    """
    before = leaves or {}
    leaves = {}
    with thread_pool(workers) as pool:
        for shard in model.shards.values():
            key = shard.file.key()
            known = cache.get(key) if cache and trusted else None
            names = [placed.spec.name for placed in shard.header.tensors]
            if known is not None and known.keys() == set(names):
                leaves |= known
                advance(shard.header.data_bytes)
                continue
            waiting = [name for name in names if name not in before]
            groups = batches(waiting, lambda name: model.specs[name].nbytes)
            hashed = map_batches(pool, lambda name: _leaf(model, name, advance), groups)
            new = dict(zip(waiting, hashed, strict=True))
            fresh = {name: before[name] if name in before else new[name] for name in names}
            leaves |= fresh
            if cache and _settled(shard, key, now_ns):
                cache.put(key, fresh)
            elif cache:
                cache.forget(key)
    return Identity(model.specs, leaves)


def _settled(shard: Shard, key: FileKey, now_ns: int) -> bool:
    """Whether the file is unchanged since `key` was taken, and was not changed just before."""
    changed = max(key[3], key[4])
    return shard.file.key() == key and now_ns - changed > SETTLED_NS


def _leaf(model: Checkpoint, name: str, advance: Advance) -> Digest:
    spec = model.specs[name]
    leaf = leaf_of_chunks(spec, model.chunks(name))
    advance(spec.nbytes)
    return leaf
