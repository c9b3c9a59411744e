"""State that the next writing command finds after a kill, at each step of a change (law 4)."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from graft_records import STAMPED

from skillpm.checkpoint.folder import STAMP
from skillpm.environment.drift import drift
from skillpm.environment.edit import new_project_file
from skillpm.environment.generation import Generation
from skillpm.environment.project import ProjectFolder, first_generation
from skillpm.environment.swap import locate
from skillpm.environment.swap_record import SwapRecord
from skillpm.environment.transaction import commit, recover, update_file, writing
from skillpm.errors import IntegrityError, NotFoundError, SpecError, StateError
from skillpm.files.folder import Folder
from skillpm.journal.owner import HOLDER
from skillpm.spec.digests import Digest

CREATED = "2024-05-17T00:00:00Z"


def _quiet(_text: str) -> None:
    pass


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    """A project at generation 0."""
    made = ProjectFolder(tmp_path)
    made.file.write_text(new_project_file("model", Digest.of(b"base")))
    with writing(made, "init", timeout=1, say=_quiet):
        first = first_generation(made.read_file(), CREATED)
        commit(made, first, {made.lock_file: first.lock})
    return made


def _next(project: ProjectFolder) -> Generation:
    return project.generation().model_copy(update={"number": 1, "action": "install"})


def _journal(project: ProjectFolder, **more: Any) -> dict[str, Any]:
    before = str(Digest.of(project.file.read_bytes()))
    files = [{"name": "skillpm.toml", "before": before, "after": "# new\n"}]
    return {"kind": "switch", "number": 1, "files": files, **more}


def _write_journal(project: ProjectFolder, plain: dict[str, Any]) -> None:
    project.journal.write_text(json.dumps(plain))


def test_recover_undoes_a_change_interrupted_before_the_switch(project: ProjectFolder) -> None:
    text = project.file.read_text()
    _write_journal(project, _journal(project))
    project.generation_file(1).write_bytes(_next(project).dumps())
    assert any("interrupted" in note for note in drift(project, project.generation()))
    said: list[str] = []
    assert recover(project, said.append) is None
    assert (project.current(), project.file.read_text(), said) == (0, text, [])
    assert not project.generation_file(1).exists()
    assert not project.journal.exists()


def test_recover_undoes_an_interrupted_first_generation(project: ProjectFolder) -> None:
    _write_journal(project, _journal(project, number=0))
    project.pointer.unlink()
    assert recover(project, _quiet) is None
    assert not project.generation_file(0).exists()


def test_recover_completes_a_change_interrupted_after_the_switch(project: ProjectFolder) -> None:
    _write_journal(project, _journal(project))
    project.generation_file(1).write_bytes(_next(project).dumps())
    project.pointer.write_text("1\n")
    stray = project.folder / ".skillpm.toml.999.tmp"
    stray.write_text("half")
    said: list[str] = []
    found = recover(project, said.append)
    assert found is not None
    assert found.number == 1
    assert project.file.read_text() == "# new\n"
    assert said == ["completed the interrupted change to generation 1"]
    assert not stray.exists()
    assert recover(project, _quiet) is None


@pytest.mark.parametrize("again", ["# mine\n", "# new\n"])
def test_recover_keeps_a_file_edited_after_the_interruption(
    project: ProjectFolder, again: str
) -> None:
    _write_journal(project, _journal(project))
    project.generation_file(1).write_bytes(_next(project).dumps())
    project.pointer.write_text("1\n")
    project.file.write_text(again)
    said: list[str] = []
    recover(project, said.append)
    assert project.file.read_text() == again
    note = "skillpm.toml was edited after the interruption: it is left as it is"
    assert (note in said) == (again == "# mine\n")


@pytest.mark.parametrize("text", ["[", "{}", '{"kind":"switch"}', '{"kind":"graft","ready":1}'])
def test_recover_refuses_a_damaged_journal_by_name(project: ProjectFolder, text: str) -> None:
    project.journal.write_text(text)
    with pytest.raises(StateError, match=r"journal\.json"):
        recover(project, _quiet)
    assert project.journal.read_text() == text


@dataclass(frozen=True)
class _CutOff:
    """The paths of an interrupted swap."""

    target: Path
    staged: Path
    old: Path


def _swap(project: ProjectFolder, *, ready: bool) -> _CutOff:
    folder = project.folder / "below"
    swap = _CutOff(folder / "out", folder / ".out.skillpm-new", folder / ".out.skillpm-old")
    swap.staged.mkdir(parents=True)
    (swap.staged / STAMP).write_text(STAMPED)
    (swap.staged / "new").write_text("new")
    place = locate(project.folder, swap.target)
    SwapRecord(project, project.folder / "home", place).write(ready=ready)
    assert project.was_cut_off
    return swap


def test_recover_removes_an_unfinished_graft(project: ProjectFolder) -> None:
    swap = _swap(project, ready=False)
    assert recover(project, _quiet) is None
    assert not swap.staged.exists()
    assert not swap.target.exists()


def _nothing(_swap: _CutOff) -> None:
    pass


def _older(swap: _CutOff) -> None:
    swap.target.mkdir()
    (swap.target / STAMP).write_text(STAMPED)


def _moved(swap: _CutOff) -> None:
    swap.old.mkdir()


def _switched(swap: _CutOff) -> None:
    swap.staged.rename(swap.target)
    swap.old.mkdir()


@pytest.mark.parametrize("state", [_nothing, _older, _moved, _switched])
def test_recover_swaps_in_a_complete_staged_graft(
    project: ProjectFolder, state: Callable[[_CutOff], None]
) -> None:
    swap = _swap(project, ready=True)
    state(swap)
    said: list[str] = []
    assert recover(project, said.append) is None
    assert (swap.target / "new").read_text() == "new"
    assert not swap.staged.exists()
    assert not swap.old.exists()
    assert "completed the interrupted graft" in said[0]


def test_recover_keeps_a_folder_that_replaced_the_graft(project: ProjectFolder) -> None:
    swap = _swap(project, ready=True)
    swap.target.mkdir()
    (swap.target / "thesis.txt").write_text("mine")
    said: list[str] = []
    recover(project, said.append)
    assert [path.name for path in swap.target.iterdir()] == ["thesis.txt"]
    assert "was replaced after the interruption" in said[0]
    assert not swap.staged.exists()


def test_update_file_does_not_rewrite_an_unchanged_file(project: ProjectFolder) -> None:
    before = project.file.stat().st_mtime_ns, project.file.stat().st_ino
    update_file(project, project.file, project.file.read_text())
    assert (project.file.stat().st_mtime_ns, project.file.stat().st_ino) == before


@pytest.mark.parametrize("text", ["abc", "-1", "", "1.0", "²"])
def test_current_refuses_a_pointer_that_is_not_a_number(project: ProjectFolder, text: str) -> None:
    project.pointer.write_text(text)
    with pytest.raises(IntegrityError, match="should hold a number"):
        project.current()


def test_unreadable_state_file_is_reported_by_name(project: ProjectFolder) -> None:
    with pytest.raises(NotFoundError, match="no generation 7"):
        project.generation(7)
    project.file.write_bytes(b"\xff")
    with pytest.raises(SpecError, match="not UTF-8"):
        project.read_file()
    project.file.unlink()
    project.file.mkdir()
    with pytest.raises(StateError, match="should be a regular file, is a folder"):
        project.read_file()
    for place in (project.generation_file(0), project.pointer):
        place.unlink()
        place.mkdir()
        with pytest.raises(StateError, match="should be a regular file, is a folder"):
            project.generation(0)
    (project.folder / "other").write_text("a file")
    with (
        pytest.raises(StateError, match="should be a folder, is a regular file"),
        writing(ProjectFolder(project.folder / "other"), "x", timeout=1, say=_quiet),
    ):
        raise AssertionError


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_commit_ignores_signals_during_the_switch(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    handler, write = signal.getsignal(sent), Folder.write

    def disturbed(folder: Folder, name: str, data: bytes, *, mode: int = 0o666) -> None:
        write(folder, name, data, mode=mode)
        if name != HOLDER:
            os.kill(os.getpid(), sent)

    monkeypatch.setattr(Folder, "write", disturbed)
    with writing(project, "install", timeout=1, say=_quiet):
        commit(project, _next(project), {project.lock_file: "# new\n"})
    assert project.current() == 1
    assert project.lock_file.read_text() == "# new\n"
    assert not project.journal.exists()
    assert signal.getsignal(sent) == handler
