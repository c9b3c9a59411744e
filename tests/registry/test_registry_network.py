"""Registries on network file systems: the journal mode, and journals of killed writers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skillpm_registry.db import files, sqlite
from skillpm_registry.db.disk import file_system_of, is_network_folder
from skillpm_registry.db.schema import open_database
from skillpm_registry.errors import RegistryCorruptError
from skillpm_registry.service import Registry, open_registry

MakePack = Callable[..., Any]
MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
25 22 0:23 / /mnt rw - tmpfs tmpfs rw
31 22 0:50 / /mnt/team\040files rw shared:9 master:2 - nfs4 server:/export rw,vers=4.2
32 31 0:51 / /mnt/team\040files/local rw - ext4 /dev/vdb rw
33 22 0:52 / /mnt/ssh rw - fuse.sshfs me@host: rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/home/me", "ext4"), ("/", "ext4"), ("/mnt", "tmpfs"), ("/mnt/team", "tmpfs"),
     ("/mnt/team files/registry", "nfs4"), ("/mnt/team files/local/x", "ext4"),
     ("/mnt/ssh", "fuse.sshfs"), ("/mnt/sshd", "tmpfs")],
)  # fmt: skip
def test_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert file_system_of(path, MOUNTS) == kind


def test_folder_of_this_machine_is_not_a_network_folder(tmp_path: Path) -> None:
    assert not is_network_folder(tmp_path)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder counts as one on a network file system."""
    for module in (files, sqlite):
        monkeypatch.setattr(module, "is_network_folder", lambda _folder: True)


def test_registry_on_a_network_file_system_has_no_wal(
    registry: Registry, folder: Path, make_pack: MakePack, network: None
) -> None:
    opened = open_registry(folder)
    make_pack().publish(opened)

    with open_database(folder, 1).reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
    assert len(opened.skills()) == 1
    assert not (folder / "registry.db-wal").exists()


def test_journal_of_a_killed_writer_is_applied(
    registry: Registry, folder: Path, make_pack: MakePack, network: None
) -> None:
    make_pack().publish(open_registry(folder))
    (folder / "registry.db-journal").write_bytes(bytes(512))  # Its header was not written yet.

    assert len(open_registry(folder).skills()) == 1


def test_journal_that_names_another_file_is_refused(
    registry: Registry, folder: Path, network: None
) -> None:
    (folder / "registry.db-journal").write_bytes(bytes(512) + bytes.fromhex("d9d505f920a163d7"))

    with pytest.raises(RegistryCorruptError):
        open_registry(folder)


def test_journal_is_refused_on_other_file_systems(registry: Registry, folder: Path) -> None:
    (folder / "registry.db-journal").write_bytes(bytes(512))

    with pytest.raises(RegistryCorruptError):
        open_registry(folder)
