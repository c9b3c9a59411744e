"""A forged leaf cache: planted entries never replace hashing where the bytes matter."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from skillpm_world import World, root_of, snapshot
from tiny_models import Models, copy_model, rewrite

from skillpm.checkpoint.leaves import LeafCache, identify
from skillpm.checkpoint.model import open_checkpoint
from skillpm.checkpoint.place import is_read_only


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A separate project; the other tests of this folder have an archive."""
    made = World(tmp_path)
    made.project.mkdir()
    monkeypatch.setenv("SKILLPM_HOME", str(made.home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(made.project)
    return made


@dataclass(frozen=True)
class Sharded:
    """A base of several shards, a fine-tune of its first shard, and its installed pack."""

    world: World
    base: Path
    tuned: Path
    pack: Path

    @property
    def untouched(self) -> Path:
        """The last shard of the base, which the pack does not touch."""
        return max(self.base.glob("*.safetensors"))

    @property
    def graft(self) -> Path:
        """The path of the project's graft."""
        return self.world.project / "graft"


@pytest.fixture
def sharded(world: World, models: Models) -> Sharded:
    source, _ = models.pair("sharded")
    base = copy_model(source, world.folder / "base")
    tuned = copy_model(source, world.folder / "tuned")
    shard = min(tuned.glob("*.safetensors"))
    shard.rename(tuned / "model.safetensors")
    rewrite(tuned, lambda tensors: [tensor.add_(1) for tensor in tensors.values()])
    (tuned / "model.safetensors").rename(shard)
    world.init(base)
    pack = world.pack((base, tuned), "acme/math", "1.0.0")
    world.ask("install", pack)
    return Sharded(world, base, tuned, pack)


def flip(path: Path) -> None:
    """Change the last bit of a file in place."""
    with path.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))


def flip_and_plant(world: World, path: Path) -> str:
    """Flip a bit and make the cache return the old leaves; return the model's true root."""
    before = identify(open_checkpoint(path)).leaves
    flip(path)
    root = str(identify(open_checkpoint(path.parent)).root)
    (shard,) = open_checkpoint(path).shards.values()
    LeafCache(world.home / "cache" / "leaves").put(shard.file.key(), dict(before))
    return root


@pytest.mark.parametrize("flags", [(), ("--link",), ("--verify",), ("--fresh", "--link")])
def test_graft_of_a_changed_base_is_refused_despite_a_forged_cache(
    sharded: Sharded, flags: tuple[str, ...]
) -> None:
    world = sharded.world
    root = flip_and_plant(world, sharded.untouched)
    said = world.fail("graft", *flags, code=3, kind="integrity")
    assert "project's base" in said if "--verify" in flags else "has changed: its leaf" in said
    assert not sharded.graft.exists()
    assert list(world.project.glob(".graft*")) == []
    assert root_of(sharded.base) == root
    assert "project's base" in world.fail("graft", *flags, code=3, kind="integrity")


def test_commands_that_report_a_root_do_not_trust_the_cache(sharded: Sharded) -> None:
    world, base = sharded.world, sharded.base
    root = flip_and_plant(world, sharded.untouched)
    assert world.ask("identify", base)["root"] == root
    root = flip_and_plant(world, sharded.untouched)
    (fresh := world.folder / "fresh").mkdir()
    assert world.ask("init", "--base", base, "-C", fresh)["root"] == root
    root = flip_and_plant(world, sharded.untouched)
    made = world.pack((base, sharded.tuned), "acme/again", "1.0.0")
    assert world.ask("inspect", made)["manifest"]["base"]["root"] == root
    flip(sharded.untouched)
    root = flip_and_plant(world, sharded.untouched)
    assert root in world.fail("verify", sharded.pack, "--base", base, code=3, kind="integrity")
    root, target = flip_and_plant(world, sharded.untouched), world.folder / "merged"
    export = ("export", "acme/math", "--format", "merged", target)
    world.fail(*export, code=3, kind="integrity")
    assert not target.exists()


def test_pack_of_a_tuned_model_with_a_forged_cache_is_correct(sharded: Sharded) -> None:
    world, path = sharded.world, min(sharded.tuned.glob("*.safetensors"))
    root = flip_and_plant(world, path)
    made = world.pack((sharded.base, sharded.tuned), "acme/again", "1.0.0")
    assert world.ask("inspect", made)["manifest"]["result_root"] == root


@pytest.mark.parametrize("exposed", ["home", "base"])
def test_world_writable_cache_or_base_is_hashed_again(sharded: Sharded, exposed: str) -> None:
    world = sharded.world
    root = flip_and_plant(world, sharded.untouched)
    (world.folder / exposed).chmod(0o777)
    assert root in world.fail("graft", code=3, kind="integrity")


@pytest.mark.parametrize("changed_set", [True, False])
@pytest.mark.parametrize("touched", [True, False])
def test_reused_files_of_a_graft_are_hashed(
    sharded: Sharded, *, touched: bool, changed_set: bool
) -> None:
    world = sharded.world
    world.graft_root()
    path = sorted(sharded.graft.glob("*.safetensors"))[0 if touched else -1]
    flip_and_plant(world, path)
    if changed_set:
        world.ask("uninstall", "acme/math")
    done = world.ask("graft")
    assert not done["unchanged"]
    assert done["root"] == root_of(sharded.graft)
    assert done["root"] == root_of(sharded.base if changed_set else sharded.tuned)


def test_unchanged_graft_is_hashed_and_kept(sharded: Sharded) -> None:
    world = sharded.world
    world.graft_root()
    before = snapshot(sharded.graft)
    assert world.ask("graft", "--verify")["unchanged"]
    assert world.ask("graft")["unchanged"]
    assert snapshot(sharded.graft) == before


def test_linked_files_are_read_only_and_reported(
    sharded: Sharded,
) -> None:
    world = sharded.world
    before = snapshot(sharded.base)
    outcome = world.run("graft", "--link")
    assert "an edit of the graft changes the base" in outcome.err
    assert str(sharded.base) in outcome.err
    linked = sharded.graft / sharded.untouched.name
    assert linked.stat().st_ino == sharded.untouched.stat().st_ino
    assert is_read_only(linked)
    touched = sharded.graft / min(sharded.base.glob("*.safetensors")).name
    assert touched.stat().st_nlink == 1
    assert not is_read_only(touched)
    assert snapshot(sharded.base) == before
    assert world.ask("graft", "--link")["unchanged"]
    linked.chmod(0o644)
    assert not world.ask("graft", "--link")["unchanged"]
    assert is_read_only(linked)
    assert world.ask("graft")["root"] == root_of(sharded.tuned)
    assert linked.stat().st_nlink == 1
    assert not is_read_only(linked)


def test_unsafe_link_becomes_a_copy_with_a_reason(sharded: Sharded) -> None:
    sharded.untouched.chmod(0o664)
    outcome = sharded.world.run("graft", "--link")
    assert "cannot be linked" in outcome.err
    assert (sharded.graft / sharded.untouched.name).stat().st_nlink == 1


def test_failed_link_leaves_the_base_unchanged(sharded: Sharded) -> None:
    shard = min(sharded.base.glob("*.safetensors"))
    modes = {path: path.stat().st_mode for path in sharded.base.iterdir()}
    flip_and_plant(sharded.world, shard)
    sharded.world.fail("graft", "--link", code=3, kind="integrity")
    assert {path: path.stat().st_mode for path in sharded.base.iterdir()} == modes
    assert sharded.untouched.stat().st_nlink == 1
