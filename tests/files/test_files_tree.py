"""The entries below a folder, to a bounded depth, without following links out of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from skillpm.errors import SpecError
from skillpm.files.errors import DeniedError, TooLargeError, WrongKindError
from skillpm.files.folder import Folder
from skillpm.files.locking import open_lock_file
from skillpm.files.tree import DEEPEST, entries, hash_below
from skillpm.spec.digests import Digest


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("of somebody else")
    place = tmp_path / "inside"
    (place / "a" / "b").mkdir(parents=True)
    (place / "a" / "b" / "file").write_text("x")
    (place / "a" / "out").symlink_to(outside)
    os.mkfifo(place / "pipe")
    with Folder.open(place) as opened:
        yield opened


def test_entries_are_listed_and_links_are_not_entered(folder: Folder) -> None:
    assert list(entries(folder)) == ["a/b/file", "a/out", "pipe"]
    assert list(entries(folder, deepest=2)) == ["a/b", "a/out", "pipe"]


def test_hash_below_refuses_links_special_files_and_large_files(folder: Folder) -> None:
    assert hash_below(folder, "a/b/file", limit=1) == (Digest.of(b"x"), 1)
    with pytest.raises(TooLargeError):
        hash_below(folder, "a/b/file", limit=0)
    with pytest.raises(WrongKindError, match="a/out` should be a folder, is a symbolic link"):
        hash_below(folder, "a/out/secret", limit=100)
    with pytest.raises(WrongKindError, match="pipe` should be a regular file, is a named pipe"):
        hash_below(folder, "pipe", limit=100)


def test_hash_below_refuses_a_path_deeper_than_the_limit(folder: Folder) -> None:
    deep = "/".join([*["d"] * DEEPEST, "a", "file"])
    (folder.path / "/".join(["d"] * DEEPEST)).mkdir(parents=True)
    (folder.path / "/".join(["d"] * DEEPEST) / "file").write_text("another file")
    with pytest.raises(SpecError, match=f"at most {DEEPEST} folders, has {DEEPEST + 1}"):
        hash_below(folder, deep, limit=100)
    assert hash_below(folder, "/".join([*["d"] * DEEPEST, "file"]), limit=100)[1] == 12


def test_open_lock_file_sets_the_requested_mode_despite_the_umask(folder: Folder) -> None:
    before = os.umask(0o077)
    try:
        os.close(open_lock_file(folder, "shared", mode=0o660))
        os.close(open_lock_file(folder, "shared", mode=0o600))
    finally:
        os.umask(before)
    assert (folder.path / "shared").stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize("path", ["../outside/secret", "/etc/passwd", "", "a//b", "a/./b", "\0"])
def test_hash_below_refuses_a_path_that_leaves_the_folder(folder: Folder, path: str) -> None:
    with pytest.raises(SpecError, match="plain file name"):
        hash_below(folder, path, limit=100)


def test_open_lock_file_refuses_entries_that_are_not_regular_files(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.close(open_lock_file(folder, "lock"))
    assert folder.read("lock") == b""
    with pytest.raises(WrongKindError):
        open_lock_file(folder, "pipe")
    (folder.path / "link").symlink_to("lock")
    monkeypatch.setattr(Folder, "status", lambda _folder, _name: None)
    with pytest.raises(OSError, match="symbolic links"):
        open_lock_file(folder, "link")  # the entry is created after the listing
    with pytest.raises(WrongKindError):
        open_lock_file(folder, "pipe")


def test_denied_access_is_reported(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_arguments: object, **_options: object) -> int:
        raise PermissionError(13, "Permission denied")

    for name in ("stat", "rename", "unlink", "link", "mkdir", "listdir", "fsync"):
        monkeypatch.setattr(os, name, denied)
    for use in (
        folder.names,
        folder.sync,
        lambda: folder.status("x"),
        lambda: folder.rename("a", "x"),
        lambda: folder.link("a", "x"),
        lambda: folder.remove("x"),
        lambda: folder.write("x", b""),
        lambda: folder.subfolder("x", create=True),
    ):
        with pytest.raises(DeniedError, match="permission denied"):
            use()
