"""One writer at a time, and files that are either old or new."""

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

from skillpm.errors import StateError
from skillpm.files.folder import Folder
from skillpm.journal import lock
from skillpm.journal.atomic import remove_strays, write_atomic
from skillpm.journal.lock import hold_lock
from skillpm.journal.owner import Owner, ProcessState, age, is_alive, read_owner, this_process


def _open(folder: Path) -> Folder:
    return Folder.open(folder)


def test_the_holder_is_named_while_it_holds(tmp_path: Path) -> None:
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
def test_a_lock_holder_without_a_record_is_called_another_command(
    tmp_path: Path, text: str | None
) -> None:
    with hold_lock(_open(tmp_path), "install", timeout=1, say=print):
        (tmp_path / "holder.json").unlink()
        if text is not None:
            (tmp_path / "holder.json").write_text(text)
        with (
            pytest.raises(StateError, match="another skillpm command"),
            hold_lock(_open(tmp_path), "graft", timeout=0.1, say=lambda _text: None),
        ):
            raise AssertionError


def test_waiting_long_enough_gets_the_lock(tmp_path: Path) -> None:
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


def test_a_folder_that_cannot_be_written_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "holder.json").mkdir()
    with (
        pytest.raises(StateError, match=r"holder\.json` should be a regular file, is a folder"),
        hold_lock(_open(tmp_path), "install", timeout=1, say=print),
    ):
        raise AssertionError
    (tmp_path / "holder.json").rmdir()
    with hold_lock(_open(tmp_path), "install", timeout=1, say=print):
        pass


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
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


def test_only_stray_files_are_removed(tmp_path: Path) -> None:
    alive = os.getppid()
    kept = {".file.tmp", "file.7.tmp", ".tmp", ".file.x.tmp", "file", f".pack.{alive}.tmp"}
    dead, here = _dead_owner().pid, os.getpid()
    gone = (f".file.{alive}.tmp", f".pack.{dead}.tmp", f".skillpm.toml.{here}.tmp")
    for name in (*kept, *gone):
        (tmp_path / name).touch()
    (tmp_path / f".folder.{dead}.tmp").mkdir()
    remove_strays(tmp_path, ["file"])
    kept.add(f".folder.{dead}.tmp")
    assert {path.name for path in tmp_path.iterdir()} == kept


def _dead_owner(**change: Any) -> Owner:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return replace(this_process("install acme/math", time.time() - 300), pid=process.pid, **change)


def test_the_lock_of_a_live_process_is_named_with_its_number_and_age(tmp_path: Path) -> None:
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
def test_a_holder_that_has_not_signed_yet_is_waited_for_to_be_named(
    tmp_path: Path, before: str | None
) -> None:
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


def test_without_patience_the_lock_is_tried_once_and_nothing_is_printed(tmp_path: Path) -> None:
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
def test_remains_of_an_interrupted_command_are_completed_and_reported(
    tmp_path: Path, why: str
) -> None:
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


def test_a_live_process_is_alive_and_ages_are_said_as_people_do() -> None:
    assert this_process("install", 0).state() is ProcessState.ALIVE
    assert replace(this_process("install", 0), start="").state() is ProcessState.ALIVE
    assert not is_alive(2**80)
    assert [age(s) for s in (-1, 119, 121, 7300)] == ["0 s", "119 s", "2 min", "2 h"]


def _attempt(folder: Path) -> lock._Attempt:
    return lock._Attempt(_open(folder), this_process("graft", time.time()))


def test_without_flock_a_claim_file_keeps_others_out(tmp_path: Path) -> None:
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


def test_a_claim_of_a_dead_process_is_taken_over_and_one_from_elsewhere_is_not(
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


def test_a_claim_that_was_taken_meanwhile_is_given_back(tmp_path: Path) -> None:
    attempt = _attempt(tmp_path)
    live = attempt.me.dumps()
    (tmp_path / "lock.claim").write_bytes(live)
    attempt._remove_dead_claim(_dead_owner())
    assert (tmp_path / "lock.claim").read_bytes() == live
    assert [path.name for path in tmp_path.iterdir()] == ["lock.claim"]


def test_a_replaced_lock_file_is_locked_again(tmp_path: Path) -> None:
    old = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(old, fcntl.LOCK_EX)
    (tmp_path / "lock").unlink()
    with hold_lock(_open(tmp_path), "graft", timeout=1, say=print):
        pass
    os.close(old)


def test_only_one_of_many_processes_has_the_lock(tmp_path: Path) -> None:
    inside: list[int] = []

    def work(number: int) -> None:
        with hold_lock(_open(tmp_path), "graft", timeout=30, say=lambda _text: None):
            inside.append(number)
            assert len(inside) == 1
            time.sleep(0.01)
            inside.pop()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(12)))


def test_the_reported_holder_is_the_process_that_was_waited_for(
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


def test_without_waiting_nothing_is_said_and_the_holder_is_named(tmp_path: Path) -> None:
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
