"""An output path that cannot be written is reported before the work."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from skillpm_world import World, start_process

from skillpm.errors import StateError
from skillpm.files.output import check_output, check_output_folder
from skillpm.flows.pack import model_pair
from skillpm.flows.session.session import Session

Check = Callable[[Path], None]


def test_check_output_does_not_change_a_writable_path(tmp_path: Path) -> None:
    check_output(tmp_path / "new.skillpack")
    (tmp_path / "old.skillpack").write_text("old")
    check_output(tmp_path / "old.skillpack")
    assert [path.name for path in tmp_path.iterdir()] == ["old.skillpack"]


def test_check_output_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="is a folder"):
        check_output(tmp_path)


def test_check_output_of_a_missing_folder_gives_a_mkdir_hint(tmp_path: Path) -> None:
    with pytest.raises(StateError) as caught:
        check_output(tmp_path / "absent" / "x.skillpack")
    assert caught.value.hint == f"`mkdir -p {tmp_path / 'absent'}`"


@pytest.mark.parametrize("check", [check_output, check_output_folder])
def test_output_below_a_file_is_refused(tmp_path: Path, check: Check) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StateError, match="should be a folder, is a regular file"):
        check(tmp_path / "file" / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("check", [check_output, check_output_folder])
def test_unwritable_file_system_is_reported(check: Check) -> None:
    with pytest.raises(StateError, match="cannot be written"):
        check(Path("/proc/self/x"))


def test_check_output_refuses_devices_and_pipes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StateError, match="is a named pipe; expected a regular file"):
        check_output(tmp_path / "pipe")
    with pytest.raises(StateError, match="is a device"):
        check_output(Path(os.devnull))


def test_check_output_folder_accepts_missing_parents(tmp_path: Path) -> None:
    check_output_folder(tmp_path / "a" / "b" / "c")
    assert not list(tmp_path.iterdir())


def test_graft_export_audit_and_init_check_the_output_before_they_begin(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_plain(tmp_path / "b", plain_tensors())
    world.init(base)
    made = world.pack((base, write_tuned(tmp_path / "t", "mlp")), "acme/x", "1.0.0")
    world.ask("install", made)
    file = tmp_path / "file"
    file.write_text("x")

    def begun(*_arguments: object, **_options: object) -> None:
        raise AssertionError

    monkeypatch.setattr("skillpm.flows.session.session.Session.identify", begun)
    monkeypatch.setattr("skillpm.flows.audit.audit.audit", begun)
    expected = "should be a folder, is a regular file"
    assert expected in world.fail("graft", "-o", file / "g", code=1, kind="state")
    for how in ("merged", "peft"):
        asked = ("export", "acme/x", file / "e", "--format", how)
        assert expected in world.fail(*asked, code=1, kind="state")
    assert expected in world.fail("audit", "-o", file / "a.json", code=1, kind="state")
    assert expected in world.fail("-C", file, "init", "--base", base, code=1, kind="state")


def test_concurrent_inits_make_one_project(world: World, tmp_path: Path) -> None:
    base = write_plain(tmp_path / "b", plain_tensors())
    for attempt in range(3):
        folder = tmp_path / f"project-{attempt}"
        folder.mkdir()
        home = {"SKILLPM_HOME": str(world.home)}
        both = [start_process("-C", folder, "init", "--base", base, **home) for _ in range(2)]
        said = [process.communicate(timeout=120) for process in both]
        assert sorted(process.returncode for process in both) == [0, 1], said
        assert any("is already a project" in err for _, err in said)


def test_pack_bundle_and_plot_check_the_output_before_they_begin(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_plain(tmp_path / "b", plain_tensors())
    pair = (base, write_tuned(tmp_path / "t", "mlp"))
    world.init(base)
    made = world.pack(pair, "acme/x", "1.0.0")
    world.ask("install", made)
    absent = tmp_path / "absent"

    def begun(*_arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(model_pair, "open_model", begun)
    monkeypatch.setattr("skillpm.flows.change.bundle.fetch_all", begun)
    monkeypatch.setattr("skillpm.flows.inspect.verify.inspect_pack", begun)
    named = ("--name", "acme/y", "--version", "1.0.0", "-o", absent / "y.skillpack")
    assert "mkdir" in world.fail("pack", *pair, *named, code=1, kind="state")
    assert "mkdir" in world.fail("bundle", absent / "x.skillbundle", code=1, kind="state")
    assert "mkdir" in world.fail("inspect", made, "--plot", absent / "x.png", code=1, kind="state")
    assert not absent.exists()


def test_an_init_that_begins_while_another_one_commits_reports_the_project(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_plain(tmp_path / "b", plain_tensors())
    world.init(base)
    journal = world.project / ".skillpm" / "journal.json"
    journal.write_text("{}")
    identify = Session.identify

    def commit_ends_meanwhile(*arguments: Any, **options: Any) -> Any:
        journal.unlink()
        return identify(*arguments, **options)

    monkeypatch.setattr(Session, "identify", commit_ends_meanwhile)
    assert "is already a project" in world.fail("init", "--base", base, code=1, kind="state")
