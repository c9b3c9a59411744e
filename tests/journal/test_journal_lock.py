"""One writer at a time, and files that are the old ones or the new ones."""

import json
import threading
from pathlib import Path

import pytest

from skillpm.errors import StateError
from skillpm.journal.atomic import remove_strays, write_atomic
from skillpm.journal.lock import held


def test_the_holder_is_named_while_it_holds(tmp_path: Path) -> None:
    said: list[str] = []
    with held(tmp_path, "install acme/math", timeout=1, say=said.append):
        assert json.loads((tmp_path / "holder.json").read_text())["command"] == "install acme/math"
        with (
            pytest.raises(StateError, match=r"in use by `skillpm install acme/math` \(process"),
            held(tmp_path, "graft", timeout=0.1, say=said.append),
        ):
            raise AssertionError
    assert said[0].startswith("waiting for `skillpm install acme/math`")
    assert not (tmp_path / "holder.json").exists()


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_a_holder_that_does_not_say_who_it_is_is_another_command(
    tmp_path: Path, text: str | None
) -> None:
    with held(tmp_path, "install", timeout=1, say=print):
        (tmp_path / "holder.json").unlink()
        if text is not None:
            (tmp_path / "holder.json").write_text(text)
        with (
            pytest.raises(StateError, match="another skillpm command"),
            held(tmp_path, "graft", timeout=0.1, say=lambda _text: None),
        ):
            raise AssertionError


def test_who_waits_long_enough_gets_the_lock(tmp_path: Path) -> None:
    inside, leave, said = threading.Event(), threading.Event(), list[str]()

    def hold() -> None:
        with held(tmp_path, "install", timeout=1, say=print):
            inside.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(10)

    def waiting(text: str) -> None:
        said.append(text)
        leave.set()

    with held(tmp_path, "graft", timeout=10, say=waiting):
        holder.join()
    assert len(said) == 1


def test_a_folder_that_cannot_be_written_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "holder.json").mkdir()
    with (
        pytest.raises(StateError, match="cannot be written"),
        held(tmp_path, "install", timeout=1, say=print),
    ):
        raise AssertionError
    (tmp_path / "holder.json").rmdir()
    with held(tmp_path, "install", timeout=1, say=print):
        pass


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomic(target, b"old")
    write_atomic(target, b"new")
    assert target.read_bytes() == b"new"
    target.unlink()
    target.mkdir()
    (target / "in it").touch()
    with pytest.raises(StateError, match="cannot be written"):
        write_atomic(target, b"newer")
    with pytest.raises(StateError, match="cannot be written"):
        write_atomic(tmp_path / "nowhere" / "file", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_strays_go_and_nothing_else(tmp_path: Path) -> None:
    kept = {".file.tmp", "file.7.tmp", ".tmp", ".file.x.tmp", "file"}
    for name in (*kept, ".file.7.tmp", ".skillpm.toml.123.tmp"):
        (tmp_path / name).touch()
    (tmp_path / ".folder.1.tmp").mkdir()
    remove_strays(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*kept, ".folder.1.tmp"}
