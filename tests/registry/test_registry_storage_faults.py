import os
import resource
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import QueuePool, create_engine

from skillpm.errors import StateError
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm_registry.db.disk import locked
from skillpm_registry.db.engine import Database, translated
from skillpm_registry.db.sqlite import database, translation
from skillpm_registry.errors import (
    RegistryBusyError,
    RegistryFullError,
    RegistryReadOnlyError,
    RegistryUnreachableError,
)
from skillpm_registry.service import Registry, open_registry

MakePack = Callable[..., Any]
NOBODY = 65534


@contextmanager
def without_rights() -> Iterator[None]:
    """Run the body as another user, because root may write anywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shelf(make_pack: MakePack) -> Iterator[Path]:
    """A registry with one release, in a folder that others can read but not write."""
    top = Path(tempfile.mkdtemp())
    folder = top / "registry"
    make_pack().publish(open_registry(folder, create=True))
    for path in (top, *top.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    for path in (top, *top.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(top)


def test_read_only_registry_can_be_read(shelf: Path) -> None:
    with without_rights():
        registry = open_registry(shelf)
        listed = registry.releases([SkillName("acme", "math")])
        found = registry.search("math")
        (digest,) = {release.digest for release in found}
        assert digest is not None
        with registry.open_blob(digest) as source:
            assert source.read()

    assert [list(group) for group in listed.values()] == [found]


def test_writing_to_a_read_only_registry_is_a_clear_error(
    shelf: Path, make_pack: MakePack, now: Any
) -> None:
    with without_rights():
        registry = open_registry(shelf)
        with pytest.raises(RegistryReadOnlyError) as refused:
            make_pack(version="2.0.0").publish(registry)
        with pytest.raises(RegistryReadOnlyError):
            registry.yank(SkillName("acme", "math"), Version.parse("1.0.0"), reason="", now=now)
        with pytest.raises(RegistryReadOnlyError):
            open_registry(shelf / "new", create=True)

    assert refused.value.exit_code == 1
    assert "read-only" in refused.value.message


def test_read_only_registry_is_read_while_its_owner_has_it_open(shelf: Path) -> None:
    owner = sqlite3.connect(shelf / "registry.db", isolation_level=None)
    owner.execute("UPDATE release SET yanked = 1, yanked_at = '2024-05-17'")

    with without_rights():
        assert open_registry(shelf).search("math") == []
    owner.close()


def test_uncommitted_changes_of_a_read_only_registry_are_reported(shelf: Path) -> None:
    owner = sqlite3.connect(shelf / "registry.db", isolation_level=None)
    owner.execute("UPDATE release SET yanked = 1, yanked_at = '2024-05-17'")
    kept = (shelf / "registry.db-wal").read_bytes()
    owner.close()
    (shelf / "registry.db-wal").write_bytes(kept)

    with (
        without_rights(),
        pytest.raises(RegistryUnreachableError, match="its latest changes are still"),
    ):
        open_registry(shelf)


@pytest.mark.parametrize("closed", [".", "registry.db"])
def test_unreadable_registry_is_unreachable(shelf: Path, closed: str) -> None:
    (shelf / closed).chmod(0)

    with without_rights(), pytest.raises(RegistryUnreachableError):
        open_registry(shelf)


def test_unreadable_blob_is_unreachable(shelf: Path) -> None:
    registry = open_registry(shelf)
    (release,) = registry.search("")
    assert release.digest is not None
    (shelf / "blobs" / "sha256" / release.digest.hex[:2]).chmod(0)

    with without_rights(), pytest.raises(RegistryUnreachableError, match="Permission denied"):
        registry.open_blob(release.digest)


def test_full_disk_changes_nothing_and_leaves_no_file(
    registry: Registry, make_pack: MakePack, folder: Path
) -> None:
    pack = make_pack(bytes(3_000_000))
    before = sorted(folder.rglob("*"))
    # A limit on the size of files fails a write as a full disk does: in the middle.
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, old[1]))
    try:
        with pytest.raises(RegistryFullError) as refused:
            pack.publish(registry)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)

    assert isinstance(refused.value, StateError)
    assert sorted(folder.rglob("*")) == before
    assert pack.publish(registry).created


def test_full_database_is_reported_as_a_full_registry(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'small.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 2")
        connection.exec_driver_sql("CREATE TABLE t (x)")
        with pytest.raises(RegistryFullError), translated(tmp_path, translation):
            connection.exec_driver_sql("INSERT INTO t VALUES (zeroblob(99999))")
    engine.dispose()


def test_locked_database_is_busy(registry: Registry, folder: Path) -> None:
    blocked = create_engine(f"sqlite:///{folder / 'registry.db'}", connect_args={"timeout": 0})
    with registry._catalog.database.writing():
        connection = blocked.connect()
        with pytest.raises(RegistryBusyError), translated(folder, translation):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.close()
    blocked.dispose()


def test_pool_without_a_free_connection_is_busy(tmp_path: Path) -> None:
    engine = create_engine(
        f"sqlite:///{tmp_path / 'x.db'}", poolclass=QueuePool, pool_size=1, max_overflow=0,
        pool_timeout=0.01,
    )  # fmt: skip
    opened = Database(tmp_path, engine, translation)
    with opened.reading(), pytest.raises(RegistryBusyError), opened.reading():
        pass
    engine.dispose()


def test_missing_database_is_unreachable(tmp_path: Path) -> None:
    missing = database(tmp_path, tmp_path / "registry.db", mode="mode=rw")

    with pytest.raises(RegistryUnreachableError), missing.reading():
        pass


def test_failed_transaction_changes_nothing(registry: Registry) -> None:
    class InterruptedHereError(Exception):
        pass

    def write_and_fail() -> None:
        with registry._catalog.database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO skill (namespace, name) VALUES ('a', 'b')")
            raise InterruptedHereError

    with pytest.raises(InterruptedHereError):
        write_and_fail()

    assert registry.skills() == []


def test_registry_lock_error_names_the_holder(
    registry: Registry, make_pack: MakePack, folder: Path
) -> None:
    with (
        locked(folder, 1),
        pytest.raises(RegistryBusyError, match=f"written by process {os.getpid()}$") as refused,
    ):
        in_thread(lambda: make_pack().publish(registry))

    assert refused.value.exit_code == 1


def test_registry_lock_holder_without_a_process_id_is_another_process(
    folder: Path, registry: Registry
) -> None:
    with locked(folder, 1):
        (folder / "registry.lock").write_text("")
        with pytest.raises(RegistryBusyError, match="by another process"):
            in_thread(lambda: locked(folder, 0.1).__enter__())


def in_thread(action: Callable[[], Any]) -> None:
    """Run it in another thread, which does not hold the lock; raise its exception."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as problem:  # noqa: BLE001 - raised again below
            raised.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
