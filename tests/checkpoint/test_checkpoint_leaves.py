import os
import time
from pathlib import Path

import pytest
from checkpoint_worlds import Tensors, tensors_file, write_file

from skillpm.checkpoint.leaves import SETTLED_NS, LeafCache, identify
from skillpm.checkpoint.model import open_checkpoint

TENSORS: Tensors = {"a": ("U8", [4], b"abcd"), "b": ("U8", [0], b"")}


@pytest.fixture
def cache(tmp_path: Path) -> LeafCache:
    return LeafCache(tmp_path / "cache")


def _later() -> int:
    return time.time_ns() + 2 * SETTLED_NS


def _read(path: Path, cache: LeafCache, now: int) -> tuple[str, list[int]]:
    """The root, and the numbers of bytes reported as hashed or as known from the cache."""
    advanced: list[int] = []
    model = open_checkpoint(path)
    return str(identify(model, cache, now_ns=now, advance=advanced.append).root), sorted(advanced)


def test_unchanged_file_is_hashed_once(tmp_path: Path, cache: LeafCache) -> None:
    path = write_file(tmp_path / "m.safetensors", TENSORS)
    first = _read(path, cache, _later())
    key = open_checkpoint(path).shards[path.name].file.key()
    assert cache.get(key) is not None
    assert first[1] == [0, 4]
    assert _read(path, cache, _later()) == (first[0], [4])


def test_recently_changed_file_is_not_cached(tmp_path: Path, cache: LeafCache) -> None:
    path = write_file(tmp_path / "m.safetensors", TENSORS)
    _read(path, cache, time.time_ns())
    assert not (tmp_path / "cache").exists()


def test_changed_file_is_hashed_again(tmp_path: Path, cache: LeafCache) -> None:
    path = write_file(tmp_path / "m.safetensors", TENSORS)
    root, _ = _read(path, cache, _later())
    status = path.stat()
    with path.open("r+b") as file:
        file.write(tensors_file({**TENSORS, "a": ("U8", [4], b"abcX")}))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert _read(path, cache, _later())[0] != root


@pytest.mark.parametrize("damage", [
    b"", b"[]", b"{}", b"\xff", b'{"key":[1],"leaves":{}}', b'{"key":KEY,"leaves":[]}',
    b'{"key":KEY,"leaves":{"a":"sha256:zz"}}', b'{"key":KEY,"leaves":{"a":1}}', b'{"key":KEY}',
])  # fmt: skip
def test_damaged_cache_entry_is_a_miss(damage: bytes, tmp_path: Path, cache: LeafCache) -> None:
    path = write_file(tmp_path / "m.safetensors", TENSORS)
    honest = _read(path, cache, _later())
    (entry,) = (tmp_path / "cache").iterdir()
    key = str(list(open_checkpoint(path).shards[path.name].file.key())).encode()
    entry.write_bytes(damage.replace(b"KEY", key))
    assert _read(path, cache, _later()) == honest


def test_cache_entry_with_leaves_of_other_tensors_is_a_miss(
    tmp_path: Path, cache: LeafCache
) -> None:
    path = write_file(tmp_path / "m.safetensors", TENSORS)
    honest = _read(path, cache, _later())
    key = open_checkpoint(path).shards[path.name].file.key()
    known = cache.get(key)
    assert known is not None
    cache.put(key, {"other": known["a"]})
    assert _read(path, cache, _later()) == honest


def test_unwritable_cache_is_ignored(tmp_path: Path) -> None:
    path = write_file(tmp_path / "m.safetensors", TENSORS)
    blocked = LeafCache(path / "cache")
    assert _read(path, blocked, _later()) == _read(path, blocked, _later())
