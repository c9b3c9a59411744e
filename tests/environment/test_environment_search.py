"""Finding the project of a folder: the nearest one above, of this user, on this file system."""

import os
from pathlib import Path

import pytest
from full_disks import mounted
from plain_models import plain_tensors, write_plain
from skillpm_world import World

from skillpm.environment.search import ForeignProjectError, find_project

STRANGER = 12_345


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with the folders `src/deep`."""
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "skillpm.toml").touch()
    return tmp_path


def test_a_folder_belongs_to_the_nearest_project_above(tree: Path) -> None:
    deep = tree / "src" / "deep"
    assert find_project(tree) == find_project(tree / "src") == find_project(deep) == tree
    (tree / "src" / "skillpm.toml").touch()
    assert find_project(deep) == tree / "src"
    (deep / ".skillpm").mkdir()  # as an `init` that was killed leaves it
    assert find_project(deep) == deep
    assert find_project(tree.parent) is None


def test_the_search_stays_on_its_file_system(tree: Path) -> None:
    with mounted(tree, "tmpfs", 1) as disk:
        assert find_project(disk.folder) is None
        (disk.folder / "sub").mkdir()
        assert find_project(disk.folder / "sub") is None
        (disk.folder / "skillpm.toml").touch()
        assert find_project(disk.folder / "sub") == disk.folder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ["", "skillpm.toml", "skillpm.lock", ".skillpm"])
def test_a_project_of_another_user_is_not_obeyed_from_below(tree: Path, name: str) -> None:
    (tree / name).touch()
    os.chown(tree / name, STRANGER, -1, follow_symlinks=False)
    with pytest.raises(ForeignProjectError, match="ID 12345: it is not used") as refused:
        find_project(tree / "src")
    assert refused.value.hint == f"if you trust it: `-C {tree}`; to ignore it: `-C .`"
    assert find_project(tree) == tree


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_link_of_another_user_is_not_followed_from_below(tree: Path) -> None:
    (tree / "skillpm.toml").rename(tree / "src" / "own.toml")
    (tree / "skillpm.toml").symlink_to("src/own.toml")
    os.chown(tree / "skillpm.toml", STRANGER, -1, follow_symlinks=False)
    with pytest.raises(ForeignProjectError):
        find_project(tree / "src" / "deep")


def test_commands_work_from_subfolders_and_their_paths_stay_relative(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_plain(world.project / "base", plain_tensors())
    root = world.init(base)
    assert 'base = "base"' in world.file.read_text()
    below = world.project / "src" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert world.ask("list")["base_root"] == root
    assert world.graft_root("-o", "out") == root
    assert (below / "out" / "config.json").exists()
    world.ask("graft")
    assert (world.project / "graft" / "config.json").exists()
    message = world.fail("-C", ".", "list", code=1, kind="not_found")
    assert f"there is no `skillpm.toml` in `{below}`" in message


def test_init_in_a_subfolder_makes_a_project_and_names_the_outer_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_plain(world.folder / "base", plain_tensors())
    world.init(base)
    below = world.project / "sub"
    below.mkdir()
    monkeypatch.chdir(below)
    outcome = world.run("init", "--base", base)
    assert outcome.code == 0
    assert f"note: `{world.project}` is a project too" in outcome.err
    assert world.ask("init", "--base", base, code=1)["error"]["message"].startswith(f"`{below}`")
