"""One writer at a time, and files that are either old or new."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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
from skillpm.journal.owner import Owner, ProcessState, age, is_alive, read_owner, this_process


def _open(folder: Path) -> Folder:
    return Folder.open(folder)


def test_lock_error_names_the_holder(tmp_path: Path) -> None:
    said: list[str] = []
    with hold_lock(_open(tmp_path), "install acme/math", timeout=1, say=said.append):
        assert json.loads((tmp_path / "holder.json").read_text())["command"] == "install acme/math"
        with (
            pytest.raises(StateError, match=r"in use by `skillpm install acme/math` \(process"),
            hold_lock(_open(tmp_path), "graft", timeout=0.1, say=said.append),
        ):
            raise AssertionError
    assert said[0].startswith("waiting for `skillpm install acme/math`")
    assert not (tmp_path / "holder.json").exists()


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_lock_holder_without_a_record_is_another_command(tmp_path: Path, text: str | None) -> None:
    with hold_lock(_open(tmp_path), "install", timeout=1, say=print):
        (tmp_path / "holder.json").unlink()
        if text is not None:
            (tmp_path / "holder.json").write_text(text)
        with (
            pytest.raises(StateError, match="another skillpm command"),
            hold_lock(_open(tmp_path), "graft", timeout=0.1, say=lambda _text: None),
        ):
            raise AssertionError


def test_waiting_for_the_lock_succeeds_when_it_is_released(tmp_path: Path) -> None:
    inside, leave, said = threading.Event(), threading.Event(), list[str]()

    def hold() -> None:
        with hold_lock(_open(tmp_path), "install", timeout=1, say=print):
            inside.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(10)

    def waiting(text: str) -> None:
        said.append(text)
        leave.set()

    with hold_lock(_open(tmp_path), "graft", timeout=10, say=waiting):
        holder.join()
    assert len(said) == 1


def test_lock_in_a_folder_that_cannot_be_written_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "holder.json").mkdir()
    with (
        pytest.raises(StateError, match=r"holder\.json` should be a regular file, is a folder"),
        hold_lock(_open(tmp_path), "install", timeout=1, say=print),
    ):
        raise AssertionError
    (tmp_path / "holder.json").rmdir()
    with hold_lock(_open(tmp_path), "install", timeout=1, say=print):
        pass


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


def test_lock_error_shows_process_id_and_age_of_the_holder(tmp_path: Path) -> None:
    with hold_lock(_open(tmp_path), "install", timeout=1, say=print):
        owner = replace(this_process("install acme/math", time.time() - 300))
        (tmp_path / "holder.json").write_bytes(owner.dumps())
        said: list[str] = []
        named = rf"`skillpm install acme/math` \(process {os.getpid()}, for 5 min\)"
        with (
            pytest.raises(StateError, match=rf"in use by {named}; waited 0 s"),
            hold_lock(_open(tmp_path), "graft", timeout=0.2, say=said.append),
        ):
            raise AssertionError
    assert len(said) == 1


@pytest.mark.parametrize("before", [None, "dead"])
def test_lock_waits_for_the_record_of_a_new_holder(tmp_path: Path, before: str | None) -> None:
    holder = tmp_path / "holder.json"
    with hold_lock(_open(tmp_path), "install", timeout=1, say=print), ThreadPoolExecutor(1) as pool:
        name = holder.read_text()
        holder.unlink()
        if before is not None:
            holder.write_bytes(_dead_owner().dumps())

        def sign_late() -> None:
            time.sleep(0.3)
            holder.write_text(name)

        signing = pool.submit(sign_late)
        with (
            pytest.raises(StateError, match=rf"`skillpm install` \(process {os.getpid()}"),
            hold_lock(_open(tmp_path), "graft", timeout=0, say=print),
        ):
            raise AssertionError
        signing.result()


def test_lock_with_timeout_zero_is_tried_once_without_a_message(tmp_path: Path) -> None:
    said: list[str] = []
    with hold_lock(_open(tmp_path), "install", timeout=1, say=print):
        started = time.monotonic()
        with (
            pytest.raises(StateError, match="in use by"),
            hold_lock(_open(tmp_path), "graft", timeout=0, say=said.append),
        ):
            raise AssertionError
        assert time.monotonic() - started < 1
    assert said == []


@pytest.mark.parametrize("why", ["dead", "reused number", "reboot", "another host", "container"])
def test_lock_of_a_dead_holder_is_taken_over_with_a_message(tmp_path: Path, why: str) -> None:
    me = this_process("install acme/math", time.time() - 300)
    owner = {
        "dead": _dead_owner(),
        "reused number": replace(me, start="1"),
        "reboot": replace(me, boot="another"),
        "another host": replace(me, host="far"),
        "container": replace(me, space="pid:[1]"),
    }[why]
    expected = ProcessState.ELSEWHERE if why in {"another host", "container"} else ProcessState.DEAD
    assert owner.state() is expected
    (tmp_path / "holder.json").write_bytes(owner.dumps())
    said: list[str] = []
    with hold_lock(_open(tmp_path), "graft", timeout=1, say=said.append):
        assert read_owner(_open(tmp_path), "holder.json") != owner
    assert len(said) == 1
    assert said[0].startswith("took over from `skillpm install acme/math` (process")
    assert (" on `far`" in said[0]) == (why == "another host")


def test_process_state_and_ages_are_described() -> None:
    assert this_process("install", 0).state() is ProcessState.ALIVE
    assert replace(this_process("install", 0), start="").state() is ProcessState.ALIVE
    assert not is_alive(2**80)
    assert [age(s) for s in (-1, 119, 121, 7300)] == ["0 s", "119 s", "2 min", "2 h"]


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


def test_only_one_of_many_threads_has_the_lock(tmp_path: Path) -> None:
    inside: list[int] = []

    def work(number: int) -> None:
        with hold_lock(_open(tmp_path), "graft", timeout=30, say=lambda _text: None):
            inside.append(number)
            assert len(inside) == 1
            time.sleep(0.01)
            inside.pop()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(12)))


def test_lock_error_names_the_process_that_was_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a holder ends while it is reported, the next one may not have signed yet."""
    with hold_lock(_open(tmp_path), "install", timeout=1, say=print):
        told = iter([read_owner(_open(tmp_path), "holder.json")])
        monkeypatch.setattr(lock, "read_owner", lambda _folder, _name: next(told, None))
        with (
            pytest.raises(StateError, match=rf"`skillpm install` \(process {os.getpid()}"),
            hold_lock(_open(tmp_path), "graft", timeout=0, say=print),
        ):
            raise AssertionError


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


def test_with_timeout_0_the_error_names_the_holder_and_nothing_is_said(tmp_path: Path) -> None:
    with hold_lock(_open(tmp_path), "install", timeout=1, say=print):
        said: list[str] = []
        with (
            pytest.raises(StateError) as caught,
            hold_lock(_open(tmp_path), "graft", timeout=0, say=said.append),
        ):
            raise AssertionError
    assert not said
    assert "`skillpm install`" in caught.value.message
    assert "waited" not in caught.value.message
