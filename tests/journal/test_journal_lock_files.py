"""The files of a lock: regular files alone, claims where there is no flock, and written whole."""

import errno
import fcntl
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from skillpm.errors import StateError
from skillpm.files.folder import Folder
from skillpm.journal import lock
from skillpm.journal.atomic import sweep_strays, write_atomic
from skillpm.journal.lock import hold_lock
from skillpm.journal.owner import Owner, this_process


def _open(folder: Path) -> Folder:
    return Folder.open(folder)


def test_failed_write_leaves_the_file_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomic(target, b"old")
    write_atomic(target, b"new")
    assert target.read_bytes() == b"new"
    target.unlink()
    target.mkdir()
    (target / "in it").touch()
    with pytest.raises(StateError, match="cannot be written"):
        write_atomic(target, b"newer")
    with pytest.raises(StateError, match="cannot be written"):
        write_atomic(tmp_path / "nowhere" / "file", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_remove_strays_removes_only_files_of_dead_writers(tmp_path: Path) -> None:
    alive = os.getppid()
    kept = {".file.tmp", "file.7.tmp", ".tmp", ".file.x.tmp", "file", f".pack.{alive}.tmp"}
    dead, here = _dead_owner().pid, os.getpid()
    gone = (f".file.{alive}.tmp", f".pack.{dead}.tmp", f".skillpm.toml.{here}.tmp")
    for name in (*kept, *gone):
        (tmp_path / name).touch()
    (tmp_path / f".folder.{dead}.tmp").mkdir()
    sweep_strays(_open(tmp_path), ["file"])
    kept.add(f".folder.{dead}.tmp")
    assert {path.name for path in tmp_path.iterdir()} == kept


def _dead_owner(**change: Any) -> Owner:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return replace(this_process("install acme/math", time.time() - 300), pid=process.pid, **change)


def _attempt(folder: Path) -> lock._Attempt:
    return lock._Attempt(_open(folder), this_process("graft", time.time()))


def test_claim_file_excludes_others_without_flock(tmp_path: Path) -> None:
    first, second = _attempt(tmp_path), _attempt(tmp_path)
    first.fd = os.open(tmp_path, os.O_RDONLY)
    assert first.take_claim()
    assert not second.take_claim()
    owner = second.owner()
    assert owner is not None
    assert "`skillpm graft`" in owner.describe(time.time())
    assert "wait until the other command ends" in second.hint()
    first.release()
    assert second.take_claim()
    assert [path.name for path in tmp_path.iterdir()] == ["lock.claim"]


def test_claim_of_a_dead_process_is_taken_over_but_not_one_from_another_host(
    tmp_path: Path,
) -> None:
    attempt = _attempt(tmp_path)
    (tmp_path / "lock.claim").write_bytes(_dead_owner().dumps())
    assert [attempt.take_claim(), attempt.take_claim()] == [False, True]
    for data in (replace(attempt.me, host="far").dumps(), b"", b"{}", b'{"pid": "x"}'):
        (tmp_path / "lock.claim").write_bytes(data)
        assert [attempt.take_claim(), attempt.take_claim()] == [False, False]
        assert (tmp_path / "lock.claim").read_bytes() == data
    (tmp_path / "lock.claim").write_bytes(replace(attempt.me, host="far").dumps())
    assert "`rm " in attempt.hint()


def test_claim_replaced_meanwhile_is_restored(tmp_path: Path) -> None:
    attempt = _attempt(tmp_path)
    live = attempt.me.dumps()
    (tmp_path / "lock.claim").write_bytes(live)
    attempt._remove_dead_claim(_dead_owner())
    assert (tmp_path / "lock.claim").read_bytes() == live
    assert [path.name for path in tmp_path.iterdir()] == ["lock.claim"]


def test_replaced_lock_file_is_locked_again(tmp_path: Path) -> None:
    old = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(old, fcntl.LOCK_EX)
    (tmp_path / "lock").unlink()
    with hold_lock(_open(tmp_path), "graft", timeout=1, say=print):
        pass
    os.close(old)


def test_the_lock_excludes_other_users_of_the_file_lock_library(tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / "lock"),
        pytest.raises(StateError, match="another skillpm command"),
        hold_lock(_open(tmp_path), "graft", timeout=0, say=print),
    ):
        raise AssertionError


@pytest.mark.parametrize("kind", ["link", "broken link", "pipe", "folder"])
def test_only_a_regular_file_is_used_as_a_lock(tmp_path: Path, kind: str) -> None:
    outside, state = tmp_path / "outside", tmp_path / "state"
    state.mkdir()
    lock_file = state / "lock"
    if kind == "link":
        outside.write_text("kept")
    if "link" in kind:
        lock_file.symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(lock_file)
    else:
        lock_file.mkdir()
    with (
        pytest.raises(StateError, match="should be a regular file, is a"),
        hold_lock(_open(state), "graft", timeout=1, say=print),
    ):
        raise AssertionError
    assert [path.name for path in state.iterdir()] == ["lock"]
    assert outside.exists() == (kind == "link")


def test_a_replaced_path_of_the_state_folder_does_not_redirect_the_lock(tmp_path: Path) -> None:
    """A lock by path, as of `filelock.FileLock`, would be created in the other folder."""
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    state.mkdir()
    elsewhere.mkdir()
    opened = _open(state)
    state.rename(tmp_path / "moved")
    state.symlink_to(elsewhere)
    with hold_lock(opened, "graft", timeout=1, say=print):
        assert (tmp_path / "moved" / "holder.json").exists()
    assert not list(elsewhere.iterdir())
    with FileLock(state / "lock"):
        assert [path.name for path in elsewhere.iterdir()] == ["lock"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_on_a_file_system_without_flock_the_holder_is_named_and_a_dead_one_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_fd: int, *, blocking: bool) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock, "lock_descriptor", refuse)
    (tmp_path / "lock.claim").write_bytes(_dead_owner().dumps())
    with (
        hold_lock(_open(tmp_path), "install", timeout=1, say=print),
        pytest.raises(StateError, match=r"in use by `skillpm install` \(process"),
        hold_lock(_open(tmp_path), "graft", timeout=0, say=print),
    ):
        raise AssertionError
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
