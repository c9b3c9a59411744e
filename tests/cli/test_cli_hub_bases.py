"""Bases by Hugging Face id on the command line and in Python."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from hub_caches import FIRST, SECOND, cache_model
from plain_models import nudged, plain_tensors, write_plain
from skillpm_world import World, snapshot

import skillpm

PACK = ("--name", "acme/math", "--version", "1.0.0", "-o", "math.skillpack")


@pytest.fixture
def hub(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with `acme/base` and a fine-tune of its first file, `acme/tuned`."""
    hub = world.folder / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    base = write_plain(world.folder / "base", plain_tensors())
    tuned = write_plain(world.folder / "tuned", nudged(plain_tensors(), "layers.0.mlp", 1))
    cache_model(hub, "acme/base", base)
    cache_model(hub, "acme/tuned", tuned, SECOND)
    return hub


def test_a_base_by_id_goes_through_the_whole_loop(world: World, hub: Path) -> None:
    before = snapshot(hub)
    root = world.ask("identify", "acme/base")["root"]
    done = world.ask("init", "--base", "acme/base")
    assert (done["base"], done["root"]) == (f"hf:acme/base@{FIRST}", root)
    assert f'base = "hf:acme/base@{FIRST}"' in world.file.read_text()
    assert 'name = "acme/base"' in world.lock
    world.ask("pack", "acme/base", "hf:acme/tuned@b2b2b2b", *PACK)
    assert world.ask("inspect", "math.skillpack")["manifest"]["base"]["name"] == "acme/base"
    assert world.ask("verify", "math.skillpack", "--base", "acme/base@main")["verified"]
    world.ask("install", "math.skillpack")
    assert world.graft_root() == world.ask("identify", "acme/tuned")["root"]
    assert not any(path.is_symlink() for path in (world.project / "graft").iterdir())
    world.ask("audit")
    exported = world.ask("export", "acme/math", "merged", "--format", "merged")
    assert exported["root"] == world.graft_root()
    assert snapshot(hub) == before


def test_a_graft_shares_blobs_of_the_cache_only_read_only(world: World, hub: Path) -> None:
    world.ask("init", "--base", "acme/base")
    world.ask("pack", "acme/base", "acme/tuned", *PACK)
    world.ask("install", "math.skillpack")
    world.ask("graft", "--link")
    shard = world.project / "graft" / "model-00002-of-00002.safetensors"
    source = hub / "models--acme--base" / "snapshots" / FIRST / shard.name
    assert not shard.is_symlink()
    assert shard.samefile(os.path.realpath(source))
    assert stat.S_IMODE(shard.stat().st_mode) & 0o222 == 0


def test_option_variable_and_python_take_an_id(
    world: World, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = world.init(world.folder / "base")
    world.ask("graft", "--base", f"hf:acme/base@{FIRST}")
    message = world.fail("graft", "--base", "acme/tuned", code=3, kind="integrity")
    assert "but `acme/tuned@b2b2b2b` is" in message
    monkeypatch.setenv("SKILLPM_BASE", "acme/base")
    assert world.graft_root("-o", "second") == root
    assert skillpm.identify("acme/base").root == root
    with skillpm.open_project(base="acme/base") as project:
        assert project.graft("third").root == root
    with skillpm.init_project(world.folder / "python", "acme/base") as project:
        text = (project.folder / "skillpm.toml").read_text()
    assert f"hf:acme/base@{FIRST}" in text
    assert hub.is_dir()


def test_a_recorded_snapshot_that_is_gone_is_named_with_both_ways_on(
    world: World, hub: Path
) -> None:
    world.ask("init", "--base", "acme/base")
    (hub / "models--acme--base" / "snapshots" / FIRST).rename(world.folder / "old")
    message = world.fail("graft", code=1, kind="not_found")
    assert "no revision `a1a1a1a` of `acme/base`" in message
    assert f"`hf download acme/base --revision {FIRST}`" in message
    cache_model(hub, "acme/base", world.folder / "base", SECOND)
    message = world.fail("graft", code=1, kind="not_found")
    assert "it has `acme/base@b2b2b2b`" in message
    assert "`--base acme/base@b2b2b2b`" in message
    assert world.graft_root("--base", "acme/base@b2b2b2b")


def test_a_snapshot_given_by_path_is_recorded_by_name(world: World, hub: Path) -> None:
    done = world.ask("init", "--base", hub / "models--acme--base")
    assert done["base"] == f"hf:acme/base@{FIRST}"


def test_a_bundle_is_installed_on_a_base_by_id(world: World, hub: Path) -> None:
    world.ask("init", "--base", "acme/base")
    world.ask("bundle", "team.skillbundle")
    there = world.folder / "there"
    there.mkdir()
    bundle = world.project / "team.skillbundle"
    message = world.fail("-C", there, "install", "--from", bundle, code=2, kind="usage")
    assert "add `--base acme/base`, if that is its base, sha256:" in message
    world.ask("-C", there, "install", "--from", bundle, "--base", "acme/base")
    assert f"hf:acme/base@{FIRST}" in (there / "skillpm.toml").read_text()
    assert hub.is_dir()


def test_a_missing_path_in_a_project_is_not_mistaken_for_a_name(world: World, hub: Path) -> None:
    world.init(write_plain(world.project / "models" / "llama", plain_tensors()))
    assert 'base = "models/llama"' in world.file.read_text()
    shutil.rmtree(world.project / "models")
    message = world.fail("graft", code=1, kind="not_found")
    assert f"there is no model at `{world.project}/models/llama`" in message
    assert "if the base was moved: `--base ./model`" in message
    assert hub.is_dir()


@pytest.mark.parametrize(
    "base", ["hf:../../x", "hf:acme/base@../../x", "hf:", "hf:acme/base@\\u001b"]
)
def test_a_trick_in_the_name_of_a_projects_base_is_refused(world: World, base: str) -> None:
    world.file.write_text(f'[project]\nbase = "{base}"\nroot = "sha256:{"0" * 64}"\n')
    message = world.fail("graft", code=1, kind="spec")
    assert "project.base" in message
    assert "not the name of a Hugging Face model" in message


def test_a_missing_dotted_path_is_no_id(world: World, hub: Path) -> None:
    message = world.fail("identify", "./acme/base", code=1, kind="not_found")
    assert f"there is no model at `{world.project}/acme/base`" in message
    assert world.ask("identify", "acme/base")["tensors"]
    assert hub.is_dir()
