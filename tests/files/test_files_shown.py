"""Paths as commands print them."""

from pathlib import Path

import pytest

from skillpm.files.shown import shown, tidy


@pytest.mark.parametrize(
    ("path", "tidied"),
    [
        ("a/../b", "b"),
        ("./a/./b", "a/b"),
        ("..//x", "../x"),
        ("../../x", "../../x"),
        ("a/b/../../c", "c"),
        ("a/..", "."),
        ("/a/../../b", "/b"),
        (".", "."),
    ],
)
def test_needless_parts_of_a_path_are_left_out(path: str, tidied: str) -> None:
    assert tidy(Path(path)) == Path(tidied)


def test_parent_of_a_link_is_that_of_its_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "away" / "folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to("away/folder")
    assert tidy(Path("link/../x")) == Path("link/../x")


def test_path_is_relative_in_the_working_folder_and_absolute_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "home" / "project"
    here.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    assert shown(here / "graft") == "graft"
    assert shown("a/../graft") == "graft"
    assert shown(here) == "."
    assert shown(home / "model") == "~/model"
    assert shown("../model") == "~/model"
    assert shown(tmp_path / "other") == str(tmp_path / "other")
