"""Hints for missing paths that a user named."""

from pathlib import Path

import pytest

from skillpm.files.named import expanded, missing_path_hint

OTHERWISE = "`skillpm list`"


def test_a_similar_name_in_the_folder_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    hint = missing_path_hint(tmp_path / "bas", otherwise=OTHERWISE)
    assert hint == f"did you mean `{tmp_path / 'base'}`?"


def test_without_a_similar_name_the_other_hint_is_given(tmp_path: Path) -> None:
    (tmp_path / "tuned").mkdir()
    assert missing_path_hint(tmp_path / "bas", otherwise=OTHERWISE) == OTHERWISE


def test_a_name_with_another_suffix_is_not_suggested(tmp_path: Path) -> None:
    (tmp_path / "math").mkdir()
    assert missing_path_hint(tmp_path / "math.skillpack", otherwise=OTHERWISE) == OTHERWISE


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "models"
    assert str(missing) in missing_path_hint(missing / "base", otherwise=OTHERWISE)


def test_a_parent_that_is_a_file_gives_the_other_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert missing_path_hint(tmp_path / "file" / "base", otherwise=OTHERWISE) == OTHERWISE


def test_home_of_a_user_that_does_not_exist_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert expanded("~/base") == Path("/home/ada/base")
    assert expanded("~no-such-user/base") == Path("~no-such-user/base")
