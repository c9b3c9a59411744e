"""One writer at a time, and files that are either old or new."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from skillpm.errors import StateError
from skillpm.files import locking
from skillpm.files.folder import Folder
from skillpm.journal import lock
from skillpm.journal.lock import hold_lock
from skillpm.journal.owner import Owner, ProcessState, age, is_alive, read_owner, this_process


@dataclass
class Clock:
    """A clock that only `sleep` moves, so that no test depends on the speed of the machine."""

    now: float = field(default_factory=time.time)
    slept: float = 0.0
    due: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.slept

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept += seconds
        while self.due and self.due[0][0] <= self.slept:
            self.due.pop(0)[1]()

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Call `act` during the sleep that reaches this time."""
        self.due.append((seconds, act))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (lock, locking):
        monkeypatch.setattr(module, "time", made)
    return made


def _open(folder: Path) -> Folder:
    return Folder.open(folder)


@pytest.mark.usefixtures("clock")
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


@pytest.mark.usefixtures("clock")
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


@pytest.mark.usefixtures("clock")
def test_waiting_for_the_lock_succeeds_when_it_is_released(tmp_path: Path) -> None:
    said: list[str] = []
    with ExitStack() as held:
        held.enter_context(hold_lock(_open(tmp_path), "install", timeout=1, say=print))

        def waiting(text: str) -> None:
            said.append(text)
            held.close()

        with hold_lock(_open(tmp_path), "graft", timeout=10, say=waiting):
            assert json.loads((tmp_path / "holder.json").read_text())["command"] == "graft"
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


def _dead_owner(**change: Any) -> Owner:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return replace(this_process("install acme/math", time.time() - 300), pid=process.pid, **change)


def test_lock_error_shows_process_id_and_age_of_the_holder(tmp_path: Path, clock: Clock) -> None:
    with hold_lock(_open(tmp_path), "install", timeout=1, say=print):
        owner = this_process("install acme/math", clock.now - 300)
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
def test_lock_waits_for_the_record_of_a_new_holder(
    tmp_path: Path, clock: Clock, before: str | None
) -> None:
    holder = tmp_path / "holder.json"
    with hold_lock(_open(tmp_path), "install", timeout=1, say=print):
        name = holder.read_text()
        holder.unlink()
        if before is not None:
            holder.write_bytes(_dead_owner().dumps())
        clock.at(0.3, lambda: holder.write_text(name))
        with (
            pytest.raises(StateError, match=rf"`skillpm install` \(process {os.getpid()}"),
            hold_lock(_open(tmp_path), "graft", timeout=0, say=print),
        ):
            raise AssertionError
    assert 0.3 <= clock.slept < locking.GRACE


def test_lock_with_timeout_zero_is_tried_once_without_a_message(
    tmp_path: Path, clock: Clock
) -> None:
    said: list[str] = []
    with (
        hold_lock(_open(tmp_path), "install", timeout=1, say=print),
        pytest.raises(StateError, match="in use by"),
        hold_lock(_open(tmp_path), "graft", timeout=0, say=said.append),
    ):
        raise AssertionError
    assert clock.slept == 0
    assert said == []


def test_waiting_ends_at_the_timeout(tmp_path: Path, clock: Clock) -> None:
    with (
        hold_lock(_open(tmp_path), "install", timeout=1, say=print),
        pytest.raises(StateError, match=r"`skillpm install` .*; waited 90 s"),
        hold_lock(_open(tmp_path), "graft", timeout=90, say=print),
    ):
        raise AssertionError
    assert clock.slept == pytest.approx(90)


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


def test_only_one_of_many_threads_has_the_lock(tmp_path: Path) -> None:
    inside: list[int] = []

    def work(number: int) -> None:
        with hold_lock(_open(tmp_path), "graft", timeout=inf, say=lambda _text: None):
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
