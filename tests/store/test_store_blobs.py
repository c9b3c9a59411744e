import io
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from skillpm.errors import DigestMismatchError, IntegrityError, NotFoundError, StateError
from skillpm.journal.owner import is_alive
from skillpm.spec.digests import Digest
from skillpm.store.blobs import HashingSink, Store
from skillpm.store.scratch import disk_errors, scratch

DATA = b"weights" * 1000
DIGEST = Digest.of(DATA)


class Shelf:
    """A source of blobs that can return other bytes than requested."""

    def __init__(self, blobs: dict[Digest, bytes]) -> None:
        self.blobs = blobs
        self.asked = 0

    def open_blob(self, digest: Digest) -> BinaryIO:
        self.asked += 1
        if digest not in self.blobs:
            raise NotFoundError(f"blob `{digest}` is not there")
        return io.BytesIO(self.blobs[digest])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _files(store: Store) -> list[Path]:
    every = store.path_of(DIGEST).parents[2].rglob("*")
    return [path for path in every if path.is_file() and path.name != "lock"]


def test_fetch_stores_a_blob_and_does_not_fetch_it_again(store: Store) -> None:
    shelf = Shelf({DIGEST: DATA})
    assert store.fetch(DIGEST, len(DATA), shelf) == len(DATA)
    assert store.fetch(DIGEST, len(DATA), shelf) == 0
    assert shelf.asked == 1
    assert store.read(DIGEST) == DATA
    assert list(store.blobs()) == [DIGEST]
    assert store.has(DIGEST, len(DATA))
    assert not store.has(DIGEST, 1)


@pytest.mark.parametrize("given", [b"", DATA[:-1], DATA + b"x", b"X" + DATA[1:]])
def test_fetch_of_wrong_bytes_does_not_change_the_store(given: bytes, store: Store) -> None:
    with pytest.raises(DigestMismatchError):
        store.fetch(DIGEST, len(DATA), Shelf({DIGEST: given}))
    assert not _files(store)


def test_fetch_refuses_a_blob_of_another_size(store: Store) -> None:
    for size in (len(DATA) - 1, len(DATA) + 1):
        with pytest.raises(DigestMismatchError):
            store.fetch(DIGEST, size, Shelf({DIGEST: DATA}))
    assert not _files(store)


def test_fetch_and_open_of_a_missing_blob_raise_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.fetch(DIGEST, 1, Shelf({}))
    with pytest.raises(NotFoundError, match="is not in the store") as problem:
        store.open(DIGEST)
    assert "skillpm install" in str(problem.value.hint)


def test_open_of_a_modified_blob_is_an_integrity_error(store: Store, tmp_path: Path) -> None:
    store.fetch(DIGEST, len(DATA), Shelf({DIGEST: DATA}))
    path = store.path_of(DIGEST)
    path.write_bytes(b"X" + DATA[1:])
    for fresh in (Store(tmp_path / "store"), store):
        with pytest.raises(IntegrityError, match="should be"):
            fresh.open(DIGEST)


def test_fetch_replaces_a_modified_blob(store: Store, tmp_path: Path) -> None:
    shelf = Shelf({DIGEST: DATA})
    store.fetch(DIGEST, len(DATA), shelf)
    store.path_of(DIGEST).write_bytes(b"X" + DATA[1:])
    again = Store(tmp_path / "store")
    assert again.fetch(DIGEST, len(DATA), shelf) == len(DATA)
    assert again.read(DIGEST) == DATA


def test_fetch_into_an_unwritable_store_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file")
    with pytest.raises(StateError, match="should be a folder, is a regular file"):
        Store(tmp_path / "store").fetch(DIGEST, len(DATA), Shelf({DIGEST: DATA}))


def test_hashing_sink_computes_the_digest_of_its_bytes() -> None:
    file = io.BytesIO()
    sink = HashingSink(file)
    assert [sink.write(DATA[:10]), sink.write(DATA[10:])] == [10, len(DATA) - 10]
    assert (sink.digest, file.getvalue()) == (DIGEST, DATA)


def _dead_pid() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_scratch_removes_its_folder_even_after_an_error(tmp_path: Path) -> None:
    with scratch(tmp_path, "pack") as folder:
        (folder / "file").write_bytes(b"x")
    assert not folder.exists()
    with pytest.raises(ValueError, match="boom"), scratch(tmp_path, "pack") as folder:
        raise ValueError("boom")
    assert not folder.exists()


def test_scratch_removes_only_files_of_dead_commands(tmp_path: Path) -> None:
    dead = tmp_path / "tmp" / f"pack-{_dead_pid()}-abc"
    alive = tmp_path / "tmp" / f"pack-{os.getpid()}-abc"
    others = tmp_path / "tmp" / "notes"
    for folder in (dead, alive, others):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x")
    with scratch(tmp_path, "pack"):
        assert not dead.exists()
        assert alive.exists()
        assert others.exists()


def test_sweep_removes_unfinished_blobs_of_killed_commands(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.fetch(DIGEST, len(DATA), Shelf({DIGEST: DATA}))
    staging = tmp_path / "store" / "tmp"
    dead, alive = staging / f"in-{_dead_pid()}-x", staging / f"in-{os.getpid()}-x"
    for path in (dead, alive, staging / "in-notes-x"):
        path.write_bytes(b"half")
    store.sweep()
    assert sorted(staging.iterdir()) == sorted([alive, staging / "in-notes-x"])
    assert list(store.blobs()) == [DIGEST]


def test_is_alive_reports_processes_of_other_users_as_alive() -> None:
    assert is_alive(1)
    assert is_alive(os.getpid())
    assert not is_alive(_dead_pid())


def test_scratch_in_an_unwritable_home_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_bytes(b"a file")
    with (
        pytest.raises(StateError, match="should be a folder, is a regular file") as problem,
        scratch(tmp_path / "home", "pack"),
    ):
        raise AssertionError
    assert "SKILLPM_HOME" in str(problem.value.hint)


def test_disk_errors_become_skillpm_errors(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be written"), disk_errors(tmp_path):
        raise OSError(28, "No space left on device")
