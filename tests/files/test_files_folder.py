"""A folder by its handle: plain names in it, no link followed, no call that blocks."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_files import deepen

from skillpm.errors import SpecError, StateError
from skillpm.files.errors import (
    DeniedError,
    MissingFileError,
    TooLargeError,
    UnwritableFileError,
    WrongKindError,
)
from skillpm.files.folder import Folder, staged_name
from skillpm.files.named import read_named_file
from skillpm.files.names import check_plain_name

SECRET = b"of somebody else"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_bytes(SECRET)
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with Folder.open(tmp_path / "inside", create=True) as opened:
        yield opened


def _link(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "secret")


def _link_to_folder(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def _broken(place: Path, _outside: Path) -> None:
    place.symlink_to("nowhere")


def _pipe(place: Path, _outside: Path) -> None:
    os.mkfifo(place)


def _socket(place: Path, _outside: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(place.parent)  # a socket's path has at most 107 bytes
        listening.bind(place.name)
        os.chdir(before)


def _folder(place: Path, _outside: Path) -> None:
    place.mkdir()


def _device(place: Path, _outside: Path) -> None:
    place.symlink_to("/dev/zero")


KINDS = {
    "a symbolic link": (_link, _link_to_folder, _broken, _device),
    "a named pipe": (_pipe,),
    "a socket": (_socket,),
    "a folder": (_folder,),
}
CASES = [(make, kind) for kind, makers in KINDS.items() for make in makers]
Make = Callable[[Path, Path], None]


@pytest.mark.parametrize(("make", "kind"), CASES)
def test_read_refuses_entries_that_are_not_regular_files(
    folder: Folder, outside: Path, make: Make, kind: str
) -> None:
    make(folder.path / "record", outside)
    with pytest.raises(WrongKindError, match=f"should be a regular file, is {kind}") as caught:
        folder.read("record")
    assert str(folder.path / "record") in caught.value.message
    assert folder.has("record")


@pytest.mark.parametrize(("make", "kind"), CASES)
def test_write_replaces_an_entry_and_does_not_follow_it(
    folder: Folder, outside: Path, make: Make, kind: str
) -> None:
    make(folder.path / "record", outside)
    if kind == "a folder":
        with pytest.raises(UnwritableFileError):
            folder.write("record", b"new")
    else:
        folder.write("record", b"new")
        assert folder.read("record") == b"new"
    assert (outside / "secret").read_bytes() == SECRET
    assert folder.names() == ["record"]


def test_write_does_not_follow_a_link_in_place_of_the_staged_file(
    folder: Folder, outside: Path
) -> None:
    (folder.path / staged_name("record")).symlink_to(outside / "secret")
    folder.write("record", b"new")
    assert (folder.read("record"), folder.names()) == (b"new", ["record"])
    assert (outside / "secret").read_bytes() == SECRET


@pytest.mark.parametrize("make", [_link_to_folder, _pipe, _link, _broken])
def test_subfolder_refuses_entries_that_are_not_folders(
    folder: Folder, outside: Path, make: Make
) -> None:
    make(folder.path / "state", outside)
    for create in (False, True):
        with pytest.raises(WrongKindError, match="should be a folder, is a"):
            folder.subfolder("state", create=create)


def test_read_refuses_a_file_over_the_limit(folder: Folder) -> None:
    with (folder.path / "record").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TooLargeError, match="at most 10 bytes, has 1099511627776"):
        folder.read("record", limit=10)
    (folder.path / "record").write_bytes(b"0123456789")
    assert folder.read("record", limit=10) == b"0123456789"


def test_read_stops_at_the_limit_for_a_file_that_hides_its_size() -> None:
    with Folder.open(Path("/proc/self")) as process, pytest.raises(TooLargeError):
        process.read("maps", limit=100)


def test_read_reports_a_denied_file_as_denied(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:  # root can read all files, so the system's refusal is simulated

        def denied(*_arguments: object, **_options: object) -> int:
            raise PermissionError(13, "Permission denied")

        folder.write("record", b"")
        monkeypatch.setattr(os, "open", denied)
    else:
        folder.write("record", b"", mode=0)
    with pytest.raises(DeniedError, match="record` cannot be read: permission denied"):
        folder.read("record")


def test_missing_entries_are_reported_as_missing(folder: Folder) -> None:
    assert folder.find("record") is None
    assert not folder.remove("record")
    folder.remove_tree("record")
    with pytest.raises(MissingFileError, match="there is no file"):
        folder.read("record")
    with pytest.raises(MissingFileError):
        folder.subfolder("state")
    with pytest.raises(MissingFileError):
        Folder.open(folder.path / "state")


def test_create_keeps_the_first_file(folder: Folder) -> None:
    assert folder.create("record", b"first")
    assert not folder.create("record", b"second")
    assert (folder.read("record"), folder.names()) == (b"first", ["record"])


def test_remove_tree_keeps_the_targets_of_links(folder: Folder, outside: Path) -> None:
    below = folder.path / "tree" / "a" / "b"
    below.mkdir(parents=True)
    for place in (folder.path / "tree", below):
        _link(place / "link", outside)
        _link_to_folder(place / "folder", outside)
        _pipe(place / "pipe", outside)
    _link_to_folder(folder.path / "linked", outside)
    folder.remove_tree("tree")
    folder.remove_tree("linked")
    assert folder.names() == []
    assert (outside / "secret").read_bytes() == SECRET


def test_remove_tree_removes_a_tree_of_any_depth(folder: Folder) -> None:
    deepen(os.dup(folder.fd), 3000)
    folder.remove_tree("deeper")
    assert folder.names() == []


def test_open_folder_is_the_same_after_it_is_moved(folder: Folder, outside: Path) -> None:
    folder.path.rename(folder.path.with_name("moved"))
    folder.path.symlink_to(outside)
    folder.write("secret", b"mine")
    assert (outside / "secret").read_bytes() == SECRET
    assert (folder.path.with_name("moved") / "secret").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b"])
def test_name_that_leads_elsewhere_is_refused(folder: Folder, name: str) -> None:
    for use in (folder.read, folder.remove, folder.remove_tree, folder.subfolder, folder.has):
        with pytest.raises(ValueError, match="not a single path component"):
            use(name)
    with pytest.raises(SpecError, match="the record should be a plain file name, is"):
        check_plain_name(name, "the record")


@pytest.mark.parametrize("name", [7, None, "a\nb", "\ud800", "x" * 256, ["a"]])
def test_check_plain_name_refuses_invalid_names(name: object) -> None:
    with pytest.raises(SpecError, match="plain file name"):
        check_plain_name(name, "the record")
    assert check_plain_name("skillpm.toml", "the record") == "skillpm.toml"


@pytest.mark.parametrize("make", [_pipe, _socket, _folder, _device, _broken])
def test_read_named_file_follows_links_and_refuses_special_files(
    folder: Folder, outside: Path, make: Make
) -> None:
    make(folder.path / "plan.json", outside)
    with pytest.raises((StateError, MissingFileError), match=r"plan\.json"):
        read_named_file(folder.path / "plan.json")
    _link(folder.path / "mine", outside)
    assert read_named_file(folder.path / "mine") == SECRET


def test_open_reports_a_file_in_the_place_of_a_folder(folder: Folder) -> None:
    folder.write("record", b"")
    for path in (folder.path / "record", folder.path / "record" / "below"):
        for create in (False, True):
            with pytest.raises(WrongKindError, match="should be a folder, is a regular file"):
                Folder.open(path, create=create)


def test_change_in_a_removed_folder_is_an_error(folder: Folder) -> None:
    folder.write("record", b"old")
    folder.path.rename(folder.path.with_name("gone"))
    folder.path.with_name("gone").joinpath("record").unlink()
    folder.path.with_name("gone").rmdir()
    for change in (
        lambda: folder.write("record", b"new"),
        lambda: folder.create("record", b"new"),
        lambda: folder.rename("record", "other"),
        lambda: folder.subfolder("below", create=True),
    ):
        with pytest.raises((UnwritableFileError, MissingFileError)):
            change()
