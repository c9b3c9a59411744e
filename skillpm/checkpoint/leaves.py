"""The identity of a model: the leaves of all tensors, hashed in parallel, remembered by file."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from skillpm.checkpoint.files import FileKey
from skillpm.checkpoint.model import Checkpoint, Shard
from skillpm.errors import SkillpmError
from skillpm.files.access import HomeFolder, open_below
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import Identity, leaf_of_chunks

Advance = Callable[[int], None]
SETTLED_NS = 2_000_000_000
"""A file that changed less than this before it was read may change again under the same times."""


def no_advance(_bytes: int) -> None:
    """Tell nobody."""


class LeafCache:
    """Leaves by file key, one small JSON file each. A damaged or foreign entry is a miss."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _open(self, *, create: bool = False) -> HomeFolder:
        above = self.folder.parent
        return open_below(above.parent, above.name, self.folder.name, create=create)

    def get(self, key: FileKey) -> dict[str, Digest] | None:
        """The leaves of the file with this key, if they are known."""
        name = _name(key)
        try:
            with self._open() as folder:
                plain = json.parse_object(folder.read(name), "a cached leaf list")
                if plain["key"] != list(key):
                    return None
                with suppress(OSError):  # what is used does not grow old: see `gc`
                    os.utime(name, dir_fd=folder.fd, follow_symlinks=False)
            return {tensor: Digest(text) for tensor, text in plain["leaves"].items()}
        except (SkillpmError, KeyError, AttributeError, TypeError):
            return None

    def put(self, key: FileKey, leaves: dict[str, Digest]) -> None:
        """Remember; a cache that cannot be written costs speed, not more."""
        plain = {"key": list(key), "leaves": {name: str(leaf) for name, leaf in leaves.items()}}
        with suppress(SkillpmError), self._open(create=True) as folder:
            folder.write(_name(key), json.canonical(plain))

    def forget(self, key: FileKey) -> None:
        """Remove what is remembered of a file, where anything is and it can be removed."""
        with suppress(SkillpmError), self._open() as folder:
            folder.remove(_name(key))


def _name(key: FileKey) -> str:
    return f"{Digest.of(json.canonical(list(key))).hex}.json"


def identify(
    model: Checkpoint,
    cache: LeafCache | None = None,
    *,
    trusted: bool = True,
    now_ns: int = 0,
    workers: int = 2,
    advance: Advance = no_advance,
) -> Identity:
    """The identity of a model. Costs one read and SHA-256 of what the cache does not know.

    A cache that is not `trusted` is not read; what was hashed then takes the place of its entries.
    """
    leaves: dict[str, Digest] = {}
    with ThreadPoolExecutor(workers) as pool:
        for shard in model.shards.values():
            key = shard.file.key()
            known = cache.get(key) if cache and trusted else None
            names = [placed.spec.name for placed in shard.header.tensors]
            if known is not None and known.keys() == set(names):
                leaves |= known
                advance(shard.header.data_bytes)
                continue
            hashed = pool.map(lambda name: _leaf(model, name, advance), names)
            fresh = dict(zip(names, hashed, strict=True))
            leaves |= fresh
            if cache and _settled(shard, key, now_ns):
                cache.put(key, fresh)
            elif cache:
                cache.forget(key)
    return Identity(model.specs, leaves)


def _settled(shard: Shard, key: FileKey, now_ns: int) -> bool:
    changed = max(key[3], key[4])
    return shard.file.key() == key and now_ns - changed > SETTLED_NS


def _leaf(model: Checkpoint, name: str, advance: Advance) -> Digest:
    spec = model.specs[name]
    leaf = leaf_of_chunks(spec, model.chunks(name))
    advance(spec.nbytes)
    return leaf
