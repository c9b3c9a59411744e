"""Edits of the user's configuration file by several commands at once."""

import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Event

import pytest

from skillpm.errors import StateError, UsageError
from skillpm.files.folder import Folder
from skillpm.flows.change.configure import SettingsLock, configure_user
from skillpm.journal.lock import hold_lock

SETTINGS = {"workers": 3, "color": "never", "offline": True, "lock-timeout": 5.0}


def lock_of(home: Path, *, timeout: float = 60, say: Callable[[str], None] = print) -> SettingsLock:
    return SettingsLock("config set workers", timeout, say, home)


@contextmanager
def held(file: Path) -> Iterator[None]:
    """The lock of the file, as another command holds it."""
    with (
        Folder.open(file.parent) as folder,
        hold_lock(folder, "config set color", timeout=0, say=print, prefix=f".{file.name}."),
    ):
        yield


def test_edit_waits_for_another_one_and_keeps_it(tmp_path: Path) -> None:
    file, waiting, said = tmp_path / "config.toml", Event(), list[str]()

    def say(text: str) -> None:
        said.append(text)
        waiting.set()

    with ThreadPoolExecutor(1) as pool:
        with held(file):
            edit = pool.submit(configure_user, file, {"workers": 3}, (), lock_of(tmp_path, say=say))
            assert waiting.wait(60)
            file.write_text('color = "never"  # mine\n')
        edit.result(60)
    assert said[0].startswith("waiting for `skillpm config set color` (process ")
    assert file.read_text() == 'color = "never"  # mine\nworkers = 3\n'


def test_edit_that_may_not_wait_names_the_holder_and_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    with held(file), pytest.raises(StateError, match=r"`.*config.toml` is in use by `skillpm conf"):
        configure_user(file, {"workers": 3}, (), lock_of(tmp_path, timeout=0))
    assert not file.exists()


def test_edits_of_the_same_instant_are_all_kept(tmp_path: Path) -> None:
    file, start = tmp_path / "new" / "config.toml", Barrier(len(SETTINGS))

    def edit(key: str) -> None:
        start.wait(60)
        configure_user(file, {key: SETTINGS[key]}, (), lock_of(tmp_path))

    with ThreadPoolExecutor(len(SETTINGS)) as pool:
        list(pool.map(edit, SETTINGS))
    assert tomllib.loads(file.read_text()) == SETTINGS


def test_edit_that_is_refused_or_changes_nothing_makes_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    configure_user(file, {}, ("workers",), lock_of(tmp_path))
    with pytest.raises(UsageError):
        configure_user(file, {"workers": 0}, (), lock_of(tmp_path))
    assert list(tmp_path.iterdir()) == []
