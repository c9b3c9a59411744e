"""A registry is created completely or not at all, on a full disk and after a kill."""

import resource
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from thoroughness import stride

from skillpm_registry.db.disk import check_room
from skillpm_registry.errors import RegistryFullError, RegistryUnfinishedError
from skillpm_registry.service import open_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = 4096


@contextmanager
def _limit(size: int) -> "Iterator[None]":
    """Fail a write past `size` bytes of a file, as on a full disk: in the middle."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def _check_usable(folder: Path, pack: Any) -> None:
    assert pack.publish(open_registry(folder, create=True)).created
    assert len(open_registry(folder).skills()) == 1


def test_creation_interrupted_by_a_full_disk_is_completed_later(
    tmp_path: Path, make_pack: "Callable[..., Any]"
) -> None:
    pack, outcomes = make_pack(), set()
    for size in range(0, 150 * PAGE, stride(25, thorough=3) * PAGE):
        folder = tmp_path / str(size)
        with _limit(size):
            try:
                open_registry(folder, create=True)
                outcomes.add("made")
            except RegistryFullError:
                outcomes.add("full")
        _check_usable(folder, pack)
    assert outcomes == {"made", "full"}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 5 * PAGE])


def _lost_log(path: Path) -> None:
    """The remains of skillpm 0.1 on a full disk: an empty database, and its pages in a lost log."""
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _first_page(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:PAGE])


@pytest.mark.parametrize("ruin", [_cut, _lost_log, _empty, _zeros, _first_page])
@pytest.mark.parametrize("beside", [(), ("registry.db-wal", "registry.db-shm")])
def test_incomplete_registry_is_created_again(
    folder: Path, make_pack: "Callable[..., Any]", ruin: "Callable[[Path], None]", beside: Any
) -> None:
    open_registry(folder, create=True)
    ruin(folder / "registry.db")
    for name in beside:
        (folder / name).write_bytes(b"\1" * 9000)

    with pytest.raises(RegistryUnfinishedError) as refused:
        open_registry(folder)

    assert "skillpm registry init" in (refused.value.hint or "")
    _check_usable(folder, make_pack())


@pytest.mark.parametrize("ruin", [_cut, _empty])
def test_registry_with_a_release_is_never_created_again(
    folder: Path, make_pack: "Callable[..., Any]", ruin: "Callable[[Path], None]"
) -> None:
    make_pack().publish(open_registry(folder, create=True))
    ruin(folder / "registry.db")
    before = (folder / "registry.db").read_bytes()
    for create in (True, False):
        with pytest.raises(Exception, match="corrupt"):
            open_registry(folder, create=create)
    assert (folder / "registry.db").read_bytes() == before


def test_check_room_accepts_a_disk_with_room(tmp_path: Path) -> None:
    check_room(tmp_path)
