"""Who may write to a file: owner and mode of the path, and of every folder above it."""

import os
from pathlib import Path

import pytest

from skillpm.files.ownership import exposure, exposures, is_owner_only

STRANGER = 12_345


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "above" / "home"
    folder.mkdir(parents=True)
    for each in (folder, folder.parent):
        each.chmod(0o755)
    return folder


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1755, 0o2755, 0o500])
def test_folder_writable_only_by_its_owner_is_not_exposed(home: Path, mode: int) -> None:
    home.chmod(mode)
    assert is_owner_only(home)


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o702, 0o1777, 0o2777])
def test_folder_writable_by_every_user_is_exposed(home: Path, mode: int) -> None:
    home.chmod(mode)
    problem = exposure(home)
    assert problem is not None
    assert (problem.path, "every user" in problem.reason) == (home, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="a user's own group may be exempt")
@pytest.mark.parametrize("mode", [0o775, 0o770, 0o2770])
def test_folder_writable_by_a_group_is_exposed(home: Path, mode: int) -> None:
    home.chmod(mode)
    problem = exposure(home)
    assert problem is not None
    assert "group" in problem.reason


@pytest.mark.parametrize("part", ["store/blob", "absent/deeper", "."])
def test_everything_below_an_exposed_folder_is_exposed(home: Path, part: str) -> None:
    (home / "store").mkdir()
    (home / "store" / "blob").write_bytes(b"")
    home.parent.chmod(0o777)
    problem = exposure(home / part)
    assert problem is not None
    assert problem.path == home.parent


def test_folder_in_a_sticky_parent_is_not_exposed(home: Path) -> None:
    home.parent.chmod(0o1777)
    assert is_owner_only(home)
    assert is_owner_only(home / "absent")


def test_file_is_exposed_by_its_mode(home: Path) -> None:
    file = home / "file"
    file.write_bytes(b"")
    file.chmod(0o644)
    assert is_owner_only(file)
    file.chmod(0o666)
    assert not is_owner_only(file)


def test_link_is_exposed_by_its_target_or_its_folder(home: Path) -> None:
    elsewhere = home.parent.parent / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    link = elsewhere / "link"
    link.symlink_to(home)
    assert is_owner_only(link)
    home.chmod(0o777)
    assert not is_owner_only(link)
    home.chmod(0o755)
    elsewhere.chmod(0o777)
    assert not is_owner_only(link)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("part", ["home", "."])
def test_file_of_another_user_is_exposed(home: Path, part: str) -> None:
    os.chown(home.parent / part, STRANGER, -1)
    problem = exposure(home)
    assert problem is not None
    assert str(STRANGER) in problem.reason


def test_exposures_names_each_place_once(home: Path) -> None:
    home.chmod(0o777)
    assert [one.path for one in exposures([home / "a", home / "b", home])] == [home]
