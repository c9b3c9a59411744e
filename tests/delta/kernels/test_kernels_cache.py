"""Compiled code is kept where only its owner can write, and used from nowhere else."""

import hashlib
import os
import pickle
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skillpm.delta.kernels.cache import FOLDER, kernel_folder, unsafe_folder, version_name
from skillpm.delta.kernels.choice import SETTINGS
from skillpm.delta.kernels.kernel import U8, Kernel
from skillpm.delta.kernels.status import kernel_status


def _total(values: U8) -> int:
    total = 0
    for number in range(values.size):
        total += values[number]
    return total


VALUES = np.arange(10, dtype=np.uint8)


@pytest.fixture
def notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A fresh home of compiled code, and what was said about it."""
    said: list[str] = []
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setattr(SETTINGS, "home", home)
    monkeypatch.setattr(SETTINGS, "say", said.append)
    monkeypatch.setattr(SETTINGS, "announced", False)
    monkeypatch.setattr(SETTINGS, "demanded", "auto")
    return said


def _run() -> int:
    """Call the kernel as a new process would, which has compiled nothing."""
    SETTINGS.announced = False
    return Kernel(_total, cached=True)(VALUES)


def _place() -> Path:
    assert SETTINGS.home is not None
    return SETTINGS.home / FOLDER / version_name()


def _entry() -> Path:
    (entry,) = _place().iterdir()
    return entry


def test_the_first_use_compiles_and_says_so_and_later_uses_load(notices: list[str]) -> None:
    assert _run() == 45
    assert notices == ["compiling kernels for this machine; later commands load them"]
    for folder in (_place(), _place().parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(_entry().stat().st_mode) == 0o600
    written = _entry().stat().st_mtime_ns
    assert _run() == 45
    assert len(notices) == 1
    assert _entry().stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_entry_is_compiled_again(notices: list[str], damage: str) -> None:
    _run()
    data = bytearray(_entry().read_bytes())
    data[-9] ^= 1
    damaged = {"flip": bytes(data), "cut": bytes(data[:-1]), "empty": b""}[damage]
    _entry().write_bytes(damaged)
    assert _run() == 45
    assert len(notices) == 2
    assert _entry().read_bytes() != damaged


class _Intruder:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._marker),)


def _plant(marker: Path) -> None:
    """Replace the entry by one that makes a folder, with the right digest."""
    data = pickle.dumps(_Intruder(marker))
    _entry().write_bytes(hashlib.sha256(data).digest() + data)


def test_an_entry_runs_code_so_its_folder_matters(notices: list[str], tmp_path: Path) -> None:
    """Without this, the tests below could not fail."""
    _run()
    _plant(tmp_path / "marker")
    with pytest.raises(TypeError):
        _run()
    assert (tmp_path / "marker").is_dir()
    assert len(notices) == 1


def _expose_version() -> None:
    _place().chmod(0o755)


def _expose_folder() -> None:
    _place().parent.chmod(0o770)


def _expose_home() -> None:
    _place().parent.parent.chmod(0o777)


def _move_behind_a_link() -> None:
    folder = _place().parent
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


@pytest.mark.parametrize(
    "expose", [_expose_version, _expose_folder, _expose_home, _move_behind_a_link]
)
def test_an_exposed_folder_is_neither_read_nor_written(
    notices: list[str], tmp_path: Path, expose: Any
) -> None:
    _run()
    _plant(tmp_path / "marker")
    before = _entry().read_bytes()
    expose()
    assert kernel_folder() is None
    assert kernel_status().entries is None
    assert _run() == 45
    assert len(notices) == 2
    assert not (tmp_path / "marker").exists()
    assert _entry().read_bytes() == before


@pytest.mark.parametrize("level", [0, 1, 2], ids=["version", "folder", "home"])
def test_the_status_names_the_folder_that_is_not_private(notices: list[str], level: int) -> None:
    _run()
    assert unsafe_folder() is None
    place = (_place(), *_place().parents)[level]
    place.chmod(0o777)
    assert unsafe_folder() == place
    assert kernel_status().folder == str(place)
    assert notices


def test_an_entry_of_another_owner_is_not_read(notices: list[str], tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    _run()
    _plant(tmp_path / "marker")
    os.chown(_entry(), 1234, -1)
    assert _run() == 45
    assert len(notices) == 2
    assert not (tmp_path / "marker").exists()


def test_a_folder_that_cannot_be_written_only_costs_time(notices: list[str]) -> None:
    assert SETTINGS.home is not None
    (SETTINGS.home / FOLDER).write_text("a file", encoding="utf-8")
    assert _run() == 45
    assert len(notices) == 1
    assert unsafe_folder() == SETTINGS.home / FOLDER


def test_without_a_home_kernels_compile_in_memory(
    notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SETTINGS, "home", None)
    assert _run() == 45
    assert len(notices) == 1
    assert kernel_status().entries is None


def test_the_status_counts_compiled_functions(notices: list[str]) -> None:
    assert kernel_status().entries == 0
    _run()
    status = kernel_status()
    assert (status.implementation, status.entries) == ("numba", 1)
    assert status.folder == str(_place())
    _expose_folder()
    assert kernel_status().entries is None
    assert notices


def test_a_missing_home_is_made_when_a_kernel_is_stored(notices: list[str]) -> None:
    assert SETTINGS.home is not None
    SETTINGS.home.rmdir()
    assert unsafe_folder() is None
    assert _run() == 45
    assert _entry().is_file()
    assert notices


def test_old_versions_are_removed_when_a_new_one_is_stored(notices: list[str]) -> None:
    upper = _place().parent
    upper.mkdir(mode=0o700)
    for number in range(12):
        (upper / str(number)).mkdir(mode=0o700)
        (upper / str(number) / "entry").touch()
        os.utime(upper / str(number), (number, number))
    _run()
    kept = {path.name for path in upper.iterdir()}
    assert kept == {_place().name, *map(str, range(5, 12))}
    assert notices
