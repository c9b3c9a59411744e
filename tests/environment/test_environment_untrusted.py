"""Untrusted state: names are resolved inside the project, and nothing else is followed."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from graft_records import STAMPED

from skillpm.checkpoint.folder import STAMP
from skillpm.environment.drift import drift
from skillpm.environment.generation import LAST_NUMBER, Generation, parse_generation
from skillpm.environment.project import ProjectFolder
from skillpm.environment.project_links import OutsideLinkError
from skillpm.environment.swap import check_target, locate
from skillpm.environment.swap_record import RECORDS, SwapRecord
from skillpm.environment.transaction import commit, recover, update_file, writing
from skillpm.errors import IntegrityError, SpecError, StateError, UsageError
from skillpm.files.errors import WrongKindError
from skillpm.spec.digests import Digest

CREATED = "2024-05-17T00:00:00Z"
INVALID_HOLDERS = (
    "[" * 9000, '{"pid": true}', '{"pid": -1, "command": "x", "since": 1}',
    '{"pid": 1, "command": "\\u001b[2J", "since": 1}', '{"pid": 1, "command": "x", "since": 1e300}',
)  # fmt: skip


def _quiet(_text: str) -> None:
    pass


def _journal(project: ProjectFolder, **plain: Any) -> None:
    project.journal.write_text(json.dumps(plain))


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (["..", "outside"], "thesis"), (["../outside"], "thesis"), ([], "../outside/thesis"),
        ([], ".."), ([], ""), (["."], "thesis"), ([""], "thesis"), ("outside", "thesis"),
        (["a\0b"], "thesis"), ([], "skillpm.toml"), ([".skillpm"], "generations"), ([7], "thesis"),
        (["a"] * 300, "thesis"), (None, None),
    ],
)  # fmt: skip
def test_recover_refuses_a_journal_path_outside_the_project(
    project: ProjectFolder, *, ready: bool, folder: object, name: object
) -> None:
    _journal(project, kind="graft", ready=ready, folder=folder, name=name)
    with pytest.raises(StateError, match=r"\.skillpm/journal\.json` is damaged") as caught:
        recover(project, _quiet)
    assert caught.value.hint is not None
    assert f"rm {project.journal}" in caught.value.hint
    assert project.journal.exists()


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("ready", [True, False])
def test_recover_does_not_follow_a_link_out_of_the_project(
    project: ProjectFolder, outside: Path, *, ready: bool
) -> None:
    (project.folder / "sub").symlink_to(outside)
    _journal(project, kind="graft", ready=ready, folder=["sub"], name="thesis")
    with pytest.raises(WrongKindError, match="sub` should be a folder, is a symbolic link"):
        recover(project, _quiet)


@pytest.mark.usefixtures("unharmed")
def test_recover_refuses_a_journal_with_absolute_paths(
    project: ProjectFolder, outside: Path
) -> None:
    paths = {key: str(outside / "thesis") for key in ("target", "staged", "old")}
    _journal(project, kind="graft", ready=True, **paths)
    with pytest.raises(StateError, match="folder: missing"):
        recover(project, _quiet)


@pytest.mark.usefixtures("unharmed")
def test_recover_swaps_in_only_a_graft_and_no_link_to_one(
    project: ProjectFolder, outside: Path
) -> None:
    staged = project.folder / ".graft.skillpm-new"
    staged.symlink_to(outside / "thesis")
    _journal(project, kind="graft", ready=True, folder=[], name="graft")
    with pytest.raises(StateError, match="should be an unfinished graft, but was not written by"):
        recover(project, _quiet)
    assert staged.is_symlink()
    staged.unlink()
    staged.mkdir()
    with pytest.raises(StateError, match="was not written by skillpm"):
        recover(project, _quiet)
    _journal(project, kind="graft", ready=False, folder=["gone"], name="graft")
    assert recover(project, _quiet) is None


@pytest.mark.parametrize(
    "number", [-1, 2, 10**9, 10**30, "1", "../../outside/1", 1.0, True, None, [1]]
)
def test_recover_refuses_a_journal_with_an_unexpected_number(
    project: ProjectFolder, number: object
) -> None:
    _journal(project, kind="switch", number=number, files=[])
    with pytest.raises(StateError, match=r"(?s)journal\.json` is damaged.*number"):
        recover(project, _quiet)
    assert project.generation_file(0).exists()


@pytest.mark.parametrize("name", ["../x", ".skillpm/current", "", 7, None, "skillpm.toml\0"])
def test_recover_writes_only_the_two_project_files(project: ProjectFolder, name: object) -> None:
    file = {"name": name, "before": None, "after": "x"}
    _journal(project, kind="switch", number=0, files=[file])
    with pytest.raises(StateError, match=r"files\[0\]\.name"):
        recover(project, _quiet)


@pytest.mark.usefixtures("unharmed")
def test_state_folder_that_is_a_link_is_refused_by_name(
    project: ProjectFolder, outside: Path
) -> None:
    project.state.rename(outside.parent / "moved")
    project.state.symlink_to(outside.parent / "moved")
    for use in (project.current, project.generation, lambda: project.was_cut_off):
        with pytest.raises(WrongKindError, match=r"\.skillpm` should be a folder, is a symbolic"):
            use()
    assert not project.is_writable
    with (
        pytest.raises(WrongKindError, match=r"\.skillpm` should be a folder"),
        writing(project, "install", timeout=1, say=_quiet),
    ):
        raise AssertionError


def test_commit_keeps_the_gitignore_of_the_state_folder(project: ProjectFolder) -> None:
    ignored = project.state / ".gitignore"
    assert ignored.read_text() == "*\n"
    ignored.write_text("# mine\n")
    commit(project, project.generation(), {})
    assert ignored.read_text() == "# mine\n"


@pytest.mark.parametrize("name", ["skillpm.toml", "skillpm.lock"])
@pytest.mark.parametrize("target", ["../theirs", "{tmp}/theirs", "kept/../../theirs", "again", "."])
def test_project_file_that_links_outside_is_neither_read_nor_written(
    project: ProjectFolder, tmp_path: Path, name: str, target: str
) -> None:
    theirs = (project.folder / name).rename(tmp_path / "theirs")
    text = theirs.read_text()
    (project.folder / "again").symlink_to(theirs)
    (project.folder / name).symlink_to(target.format(tmp=tmp_path))
    with pytest.raises((OutsideLinkError, WrongKindError), match=name):
        project.read_text(project.folder / name)
    with pytest.raises((OutsideLinkError, WrongKindError), match=name):
        update_file(project, project.folder / name, "mine")
    assert theirs.read_text() == text
    assert drift(project, project.generation())[0].startswith(
        f"`{project.folder / name}` should be"
    )


@pytest.mark.parametrize("absolute", [True, False])
def test_project_file_may_link_to_a_file_inside_the_project(
    project: ProjectFolder, *, absolute: bool
) -> None:
    kept = project.folder / "kept" / "project.toml"
    kept.parent.mkdir()
    project.file.rename(kept)
    project.file.symlink_to(kept if absolute else "kept/project.toml")
    text = f"# ours\n{project.read_text(project.file)}"
    update_file(project, project.file, text)
    assert project.file.is_symlink()
    assert kept.read_text() == text
    assert project.read_file().root == Digest.of(b"base")


def test_generations_with_invalid_numbers_or_requirements_are_refused(
    project: ProjectFolder,
) -> None:
    plain = json.loads(project.generation_file(0).read_text())
    for change in ({"number": -1}, {"number": LAST_NUMBER + 1}, {"wishes": {"acme/x": 5}},
                   {"wishes": {"../x": {"version": "^1"}}}):  # fmt: skip
        with pytest.raises(SpecError, match="generation 0 has 1 problem"):
            parse_generation(json.dumps({**plain, **change}).encode(), "generation 0")
    project.generation_file(0).write_text(json.dumps({**plain, "number": 1}))
    with pytest.raises(IntegrityError, match="should hold generation 0, holds generation 1"):
        project.generation()
    project.pointer.write_text(f"{LAST_NUMBER}\n")
    project.generation_file(7).write_text(json.dumps({**plain, "number": 7}))
    (project.state / "generations" / "07.json").write_text("x")
    assert project.numbers() == [0, 7]
    with pytest.raises(IntegrityError, match="which is missing"):
        project.generation()
    unchecked: Any = Generation.model_construct  # without the required fields
    with pytest.raises(StateError, match="exceeds the largest"):
        commit(project, unchecked(number=LAST_NUMBER + 1), {})


def _outside_swap(project: ProjectFolder, home: Path, target: Path, *, ready: bool) -> Path:
    place = locate(project.folder, target)
    assert place.below is None
    staged = target.with_name(f".{target.name}.skillpm-new")
    staged.mkdir(parents=True)
    (staged / STAMP).write_text(STAMPED)
    SwapRecord(project, home, place).write(ready=ready)
    assert not project.was_cut_off, "a project's own journal names nothing outside it"
    return staged


@pytest.mark.parametrize("ready", [True, False])
def test_recover_handles_a_graft_outside_the_project_only_with_its_home(
    project: ProjectFolder, tmp_path: Path, *, ready: bool
) -> None:
    home, target = tmp_path / "home", tmp_path / "served" / "model"
    staged = _outside_swap(project, home, target, ready=ready)
    recover(project, _quiet, tmp_path / "another home")
    assert staged.exists()
    said: list[str] = []
    recover(project, said.append, home)
    assert (target.exists(), staged.exists(), len(said)) == (ready, False, int(ready))
    assert list((home / RECORDS).iterdir()) == []


def test_recover_refuses_an_edited_swap_record_in_the_home(
    project: ProjectFolder, tmp_path: Path
) -> None:
    home, target = tmp_path / "home", tmp_path / "served" / "model"
    staged = _outside_swap(project, home, target, ready=True)
    (record,) = (home / RECORDS).iterdir()
    sound = json.loads(record.read_text())
    for change in ({"project": "/elsewhere"}, {"folder": "served"}, {"name": "../model"}):
        record.write_text(json.dumps({**sound, **change}))
        with pytest.raises(StateError, match="is damaged"):
            recover(project, _quiet, home)
    assert staged.exists()


def test_locate_and_check_target_refuse_targets_that_leave_the_project(
    project: ProjectFolder, outside: Path
) -> None:
    (project.folder / "sub").symlink_to(outside)
    with pytest.raises(StateError, match="should be in the project, but a symbolic link leads"):
        locate(project.folder, project.folder / "sub" / "graft")
    below = locate(project.folder, project.folder / "a" / "b" / ".." / "graft")
    assert (below.below, below.name) == (("a",), "graft")
    with below.open(create=True) as folder:
        assert folder.path == Path(os.path.realpath(project.folder / "a"))
    base = outside.parent / "base"
    base.mkdir()
    for target in (base, base / "x", outside.parent):
        with pytest.raises(UsageError, match="cannot be written there"):
            check_target(project.folder, target, base, outside / "home")
    (project.folder / "loop").symlink_to("loop")
    (project.folder / "linked").symlink_to(outside / "thesis")
    for name in ("loop", "linked", "skillpm.toml"):
        with pytest.raises(StateError, match="was not written by skillpm"):
            check_target(project.folder, project.folder / name, base, outside / "home")


def test_holder_ignores_an_invalid_record_and_follows_no_link(
    project: ProjectFolder, outside: Path
) -> None:
    assert project.holder() is None
    holder = project.state / "holder.json"
    for text in INVALID_HOLDERS:
        holder.write_text(text)
        assert project.holder() is None
    holder.unlink()
    holder.symlink_to(outside / "thesis" / STAMP)
    with (
        pytest.raises(WrongKindError, match=r"holder\.json` should be a regular file"),
        writing(project, "install", timeout=1, say=_quiet),
    ):
        raise AssertionError
    assert holder.is_symlink()
