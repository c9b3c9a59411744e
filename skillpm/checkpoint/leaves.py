"""The identity of a model: the leaves of all tensors, hashed in parallel, remembered by file."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from skillpm.checkpoint.files import FileKey
from skillpm.checkpoint.model import Checkpoint, Shard
from skillpm.errors import SpecError
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

    def _path(self, key: FileKey) -> Path:
        return self.folder / f"{Digest.of(json.canonical(list(key))).hex}.json"

    def get(self, key: FileKey) -> dict[str, Digest] | None:
        """The leaves of the file with this key, if they are known."""
        path = self._path(key)
        try:
            plain = json.parse_object(path.read_bytes(), "a cached leaf list")
            if plain["key"] != list(key):
                return None
            with suppress(OSError):
                os.utime(path)  # what is used does not grow old: see `gc`
            return {name: Digest(text) for name, text in plain["leaves"].items()}
        except (OSError, SpecError, KeyError, AttributeError, TypeError):
            return None

    def put(self, key: FileKey, leaves: dict[str, Digest]) -> None:
        """Remember; a cache that cannot be written costs speed, not more."""
        plain = {"key": list(key), "leaves": {name: str(leaf) for name, leaf in leaves.items()}}
        path = self._path(key)
        staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            staged.write_bytes(json.canonical(plain))
            staged.replace(path)
        except OSError:
            with suppress(OSError):
                staged.unlink(missing_ok=True)

    def forget(self, key: FileKey) -> None:
        """Remove what is remembered of a file, where anything is and it can be removed."""
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)


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
