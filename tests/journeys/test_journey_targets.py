"""Folders to which a graft may be written, and files that it shares with its base (law 1)."""

import hashlib
from pathlib import Path

import pytest
from skillpm_world import World, root_of, snapshot
from tiny_models import Models, Pair, copy_model, rewrite


@pytest.fixture
def base(world: World, models: Models) -> Path:
    """A project with one skill and a separate copy of the base."""
    source, tuned = models.tuned("mlp")
    base = copy_model(source, world.folder / "models" / "base")
    world.init(base)
    world.ask("install", world.pack((base, tuned), "acme/math", "1.0.0"))
    return base


def test_graft_refuses_the_base_and_folders_inside_or_above_it_as_target(
    world: World, base: Path
) -> None:
    before = snapshot(base)
    link = world.folder / "link"
    link.symlink_to(base)
    for target in (base, base / "inside", base.parent, link, link / "inside"):
        text = world.fail("graft", "-o", target, code=2, kind="usage")
        assert "cannot be written there" in text
    assert snapshot(base) == before


def test_graft_keeps_a_foreign_folder_and_replaces_an_empty_one_or_a_graft(
    world: World, base: Path
) -> None:
    foreign = world.project / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    world.fail("graft", "-o", foreign, code=1, kind="state")
    world.fail("graft", "-o", world.file, code=1, kind="state")
    assert snapshot(foreign).keys() == {"thesis.txt"}

    empty = world.project / "empty"
    empty.mkdir()
    root = world.graft_root("-o", empty)
    (empty / "model.safetensors").write_bytes(b"damaged")
    assert world.graft_root("-o", empty) == root == root_of(empty)
    assert not [path for path in world.project.iterdir() if "skillpm-" in path.name]


def test_graft_creates_missing_parent_folders(world: World, base: Path) -> None:
    root = world.graft_root("-o", "served/models/math")
    assert root_of(world.project / "served" / "models" / "math") == root


def test_graft_link_shares_only_unchanged_shards(
    world: World, models: Models, tmp_path: Path
) -> None:
    source, _ = models.pair("sharded")
    base, tuned = copy_model(source, tmp_path / "base"), copy_model(source, tmp_path / "tuned")
    shard = min(tuned.glob("*.safetensors"))
    shard.rename(tuned / "model.safetensors")
    rewrite(tuned, lambda tensors: [tensor.add_(1) for tensor in tensors.values()])
    (tuned / "model.safetensors").rename(shard)
    world.init(base)
    world.ask("install", world.pack((base, tuned), "acme/math", "1.0.0"))

    done = world.ask("graft", "--link")

    assert done["root"] == root_of(tuned)
    linked = {path.name: path.stat().st_nlink for path in (world.project / "graft").iterdir()}
    touched = {shard.name}
    shards = {path.name for path in base.glob("*.safetensors")}
    assert {name for name, links in linked.items() if links > 1} == shards - touched
    sizes = sum((base / name).stat().st_size for name in shards - touched)
    assert done["linked_bytes"] == sizes
    assert world.graft_root() == root_of(tuned)
    assert all(path.stat().st_nlink == 1 for path in (world.project / "graft").iterdir())


def test_graft_on_a_changed_base_is_an_integrity_error(world: World, base: Path) -> None:
    rewrite(base, lambda tensors: tensors["lm_head.weight"].add_(1))
    assert "project's base" in world.fail("graft", code=3, kind="integrity")
    codes = [one["code"] for one in world.ask("audit", code=3)["findings"]]
    assert codes[0] == "base-mismatch"


def test_graft_base_option_checks_the_root_of_a_moved_base(
    world: World, models: Models, base: Path
) -> None:
    moved = base.rename(world.folder / "moved")
    world.fail("graft", code=1, kind="not_found")
    assert world.graft_root("--base", moved) == root_of(models.tuned("mlp")[1])
    world.fail("graft", "--base", models.pair("tied")[0], code=3, kind="integrity")


def test_audit_reports_a_damaged_graft(world: World, base: Path) -> None:
    world.graft_root()
    rewrite(world.project / "graft", lambda tensors: tensors["lm_head.weight"].add_(1))
    found = world.ask("audit", code=3)["findings"][0]
    assert (found["level"], found["code"]) == ("critical", "graft-damaged")


def test_graft_refuses_a_damaged_blob_without_a_registry(world: World, base: Path) -> None:
    for blob in (world.home / "store" / "sha256").rglob("*"):
        if blob.is_file() and blob.stat().st_size > 4000:
            blob.write_bytes(blob.read_bytes()[:-1] + b"\x00")
    (world.home / "registry").rename(world.home / "gone")
    world.fail("graft", code=3, kind="integrity")
    assert not (world.project / "graft").exists()
    found = world.ask("audit", code=3)["findings"][0]
    assert (found["level"], found["code"]) == ("critical", "blob-damaged")


def test_lock_and_store_suffice_to_rebuild_a_graft(world: World, base: Path) -> None:
    root = world.graft_root()
    (world.home / "registry").rename(world.home / "gone")
    fresh = world.folder / "fresh"
    fresh.mkdir()
    world.ask("-C", fresh, "init", "--base", base)
    for name in ("skillpm.toml", "skillpm.lock"):
        (fresh / name).write_bytes((world.project / name).read_bytes())
    world.ask("-C", fresh, "install", "--frozen", "--offline")
    assert world.graft_root("-C", fresh) == root


@pytest.mark.parametrize("stamp", ["", "{}", "[]", '{"format": 1}'])
def test_graft_does_not_replace_a_folder_with_an_invalid_graft_record(
    world: World, base: Path, stamp: str
) -> None:
    theirs = world.project / "models"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work")
    (theirs / ".skillpm-graft.json").write_text(stamp)
    text = world.fail("graft", "-o", theirs, code=1, kind="state")
    assert "was not written by skillpm" in text
    assert (theirs / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    "command", [("graft", "-o"), ("export", "acme/math", "--format", "merged")]
)
@pytest.mark.parametrize("place", ["project/.skillpm/x", "home", "home/x", "base"])
def test_graft_and_export_refuse_targets_in_state_home_or_base(
    world: World, base: Path, command: tuple[str, ...], place: str
) -> None:
    target = base / "x" if place == "base" else world.folder / place
    before = snapshot(world.project), snapshot(world.home / "store"), snapshot(base)
    outcome = world.run(*command, target, "--json")
    assert outcome.code in (1, 2), outcome
    assert outcome.error["kind"] in ("usage", "state")
    assert (snapshot(world.project), snapshot(world.home / "store"), snapshot(base)) == before


@pytest.mark.parametrize("place", ["project", ""])
def test_graft_does_not_replace_its_project(world: World, base: Path, place: str) -> None:
    target = world.folder / place
    (target / ".skillpm-graft.json").write_text("{}")
    before = snapshot(world.folder)
    text = world.fail("graft", "-o", target, code=2, kind="usage")
    assert "a graft cannot be written there" in text
    assert snapshot(world.folder) == before


def test_uninstall_keeps_temporary_files_of_other_programs(world: World, base: Path) -> None:
    names = [".precious.999999.tmp", ".notes.4194304.tmp"]
    for name in names:
        (world.project / name).write_text("keep")
    (world.project / ".skillpm.toml.999999.tmp").write_text("a killed writer's")
    world.ask("uninstall", "acme/math")
    assert all((world.project / name).read_text() == "keep" for name in names)
    assert not (world.project / ".skillpm.toml.999999.tmp").exists()


def test_graft_of_a_single_file_base_writes_beside_it(
    world: World, math: Pair, tmp_path: Path
) -> None:
    base = world.project / "model.safetensors"
    base.write_bytes((math[0] / "model.safetensors").read_bytes())
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    world.init(base)
    world.ask("install", world.pack((base, math[1]), "acme/math", "1.0.0"))
    done = world.ask("graft")
    assert done["root"] == root_of(math[1]) == root_of(world.project / "graft")
    assert Path(done["path"]) == world.project / "graft"
    assert hashlib.sha256(base.read_bytes()).hexdigest() == digest
    for place in (base, world.project):
        world.fail("graft", "-o", place, code=2, kind="usage")


def test_graft_target_that_cannot_be_created_is_a_state_error(installed: World) -> None:
    (installed.project / "file").write_text("in the way")
    installed.fail("graft", "-o", "file/graft", code=1, kind="state")
    assert not (installed.project / ".skillpm" / "journal.json").exists()
