"""Faults reported for other tools, one per test; the docstring names the issue."""

import os
import re
from pathlib import Path

import pytest
from skillpm_world import World, root_of, run_here, snapshot
from tiny_models import Models, Pair, copy_model, logits, rewrite


def _stored(world: World) -> list[Path]:
    return [path for path in (world.home / "store" / "sha256").rglob("*") if path.is_file()]


def test_install_refuses_a_skill_for_another_base(world: World, math: Pair, models: Models) -> None:
    """An adapter on the wrong base loads with 200 OK and serves the base (vLLM 34186, 55193)."""
    world.init(models.pair("tied")[0])
    world.publish(math, "acme/math", "1.0.0")
    said = world.fail("install", "acme/math", code=4, kind="resolution")
    assert "was built for base" in said
    assert world.ask("list")["generation"] == 0


def test_uninstall_and_graft_restore_the_base_bit_for_bit(installed: World, math: Pair) -> None:
    """Unmerging leaves the base changed (peft 3498, 3650; diffusers 5313)."""
    before = snapshot(math[0])
    assert installed.graft_root() != root_of(math[0])
    installed.ask("uninstall", "acme/math")
    assert installed.graft_root() == root_of(math[0]) == root_of(installed.project / "graft")
    assert snapshot(math[0]) == before


def test_graft_sums_packs_of_different_codecs_and_ranks(world: World, models: Models) -> None:
    """Merges of mixed ranks fail, or cannot be loaded again (peft 3737)."""
    schemes = {
        "a": (), "b": ("--scheme", "graftllm", "--energy", "0.3"),
        "c": ("--scheme", "graftllm", "--energy", "0.9"), "d": ("--budget", "30kB"),
    }  # fmt: skip
    world.init(models.tuned("mlp")[0])
    for seed, (name, more) in enumerate(schemes.items(), start=1):
        world.publish(models.tuned("mlp", seed=seed), f"acme/{name}", "1.0.0", *more)
    world.ask("install", *(f"acme/{name}" for name in schemes))
    root = world.graft_root()
    assert root_of(world.project / "graft") == root
    assert logits(world.project / "graft").isfinite().all()


def test_layered_chain_keeps_its_middle_pack(world: World, models: Models) -> None:
    """A chain of adapters silently loses the middle one (G.O.D 1146)."""
    base, first = models.tuned("mlp")
    second = rewrite(
        copy_model(first, world.folder / "second"),
        lambda tensors: tensors["model.layers.0.self_attn.q_proj.weight"].add_(0.25),
    )
    world.init(base)
    world.publish((base, first), "acme/first", "1.0.0")
    world.publish((base, second), "acme/second", "1.0.0", "--over", "acme/first")
    world.ask("install", "acme/second")
    assert set(world.installed()) == {"acme/first", "acme/second"}
    assert world.graft_root() == root_of(second)
    said = world.fail("uninstall", "acme/first", code=1, kind="state")
    assert "`acme/second` requires it" in said


def test_pack_names_checkpoint_tensors_and_no_module_classes(world: World, math: Pair) -> None:
    """Adapters break when module classes change their names (transformers 42491)."""
    path = world.pack(math, "acme/math", "1.0.0")
    names = {entry["tensor"] for entry in world.ask("inspect", path)["manifest"]["footprint"]}
    assert names == {f"model.layers.{n}.mlp.{part}_proj.weight"
                     for n in range(2) for part in ("up", "gate", "down")}  # fmt: skip


@pytest.mark.parametrize("kind", ["grown", "tied"])
def test_pack_and_graft_keep_added_tokens_and_tied_weights(
    world: World, models: Models, kind: str
) -> None:
    """Added tokens and tied weights break extraction (mergekit 328, 390; transformers 45127)."""
    base, tuned = models.pair(kind)
    world.init(base)
    world.publish((base, tuned), "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    assert world.graft_root() == root_of(tuned)
    assert logits(world.project / "graft").equal(logits(tuned))


def test_pack_refuses_a_tuned_model_of_another_dtype_without_cast(world: World, math: Pair) -> None:
    """A quantised base is trained on, and the result merged in full precision (qlora 254)."""
    tuned = copy_model(math[1], world.folder / "half")
    rewrite(tuned, lambda tensors: tensors.update({n: t.half() for n, t in tensors.items()}))
    named = ("--name", "acme/math", "--version", "1.0.0")
    outcome = world.run("pack", math[0], tuned, *named, "--json")
    assert outcome.code != 0
    assert "--cast" in (outcome.error["hint"] or "")
    assert not list(world.project.glob("*.skillpack"))


def test_lock_resolves_a_merge_conflict_of_two_locks(world: World, models: Models) -> None:
    """Conflicting locks cannot be merged (uv 5633)."""
    base = models.tuned("mlp")[0]
    world.init(base)
    for seed, name in enumerate(("a", "b", "c"), start=1):
        world.publish(models.tuned("attn", seed=seed), f"acme/{name}", "1.0.0")
    world.ask("install", "acme/b")
    common, text = world.lock.splitlines(), world.file.read_text()
    world.ask("install", "acme/a")
    added = [line for line in world.lock.splitlines() if line not in common]
    assert sum(line.startswith("skill =") for line in added) == 1
    mine = world.lock
    world.file.write_text(text)
    world.ask("install", "acme/c")
    theirs = world.lock
    world.file.write_text(f'{text}"acme/a" = "^1"\n"acme/c" = "^1"\n')
    conflict = f"<<<<<<< mine\n{mine}=======\n{theirs}>>>>>>> theirs\n"
    (world.project / "skillpm.lock").write_text(conflict)
    world.ask("lock")
    world.ask("install", "--frozen")
    assert set(world.installed()) == {"acme/a", "acme/b", "acme/c"}


def test_lock_contains_no_host_and_no_path(installed: World) -> None:
    """Locks contain hosts (uv 6349)."""
    assert "://" not in installed.lock
    assert str(installed.folder) not in installed.lock
    assert 'registry = "default"' in installed.lock


@pytest.mark.parametrize(
    "command",
    [
        ("install", "--frozen", "--lowest"),
        ("lock", "--check", "--upgrade"),
        ("upgrade", "--all", "acme/math"),
        ("pack", "a", "b", "--name", "acme/a", "--version", "1.0.0", "--scheme", "lossless",
         "--budget", "5%"),
    ],
    ids=str,
)  # fmt: skip
def test_contradictory_flags_are_usage_errors(installed: World, command: tuple[str, ...]) -> None:
    """Contradictory flags are silently ignored (uv 12783)."""
    installed.fail(*command, code=2, kind="usage")


def test_graft_never_uses_a_damaged_blob(installed: World) -> None:
    """Modified content of the store is linked, even with force (pnpm 14173)."""
    blob = max(_stored(installed), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    aside = (installed.home / "registry").rename(installed.home / "aside")
    installed.fail("graft", code=3, kind="integrity")
    assert not (installed.project / "graft").exists()
    aside.rename(installed.home / "registry")
    installed.ask("graft")
    assert installed.ask("cache", "verify")["damaged"] == []


def test_graft_link_never_links_to_the_store(installed: World) -> None:
    """Writing to a graft must not change the store."""
    installed.ask("graft", "--link")
    files = [path for path in (installed.project / "graft").rglob("*") if path.is_file()]
    inodes = {path.stat().st_ino for path in _stored(installed)}
    assert not inodes & {path.stat().st_ino for path in files}


def test_gc_frees_exactly_the_unreferenced_bytes_of_the_store(
    installed: World, models: Models
) -> None:
    """Caches grow to 20 to 500 GB (uv 5731)."""
    installed.publish(models.tuned("attn", seed=5), "acme/math", "1.1.0")
    installed.ask("upgrade")
    before = sum(path.stat().st_size for path in _stored(installed))
    keep = ("--keep", "1", "--grace", "0")
    assert "would free " in installed.run("gc", *keep, "--dry-run").out
    assert sum(path.stat().st_size for path in _stored(installed)) == before
    freed = installed.ask("gc", *keep, "-y")["freed_bytes"]
    assert sum(path.stat().st_size for path in _stored(installed)) == before - freed
    assert freed > 0
    installed.ask("audit", "--fail-on", "high")


def test_audit_hides_findings_below_the_level_and_requires_ignore_reasons(installed: World) -> None:
    """Audits are noisy (npm 1182): here the threshold applies to output and exit code."""
    assert "no-license" not in installed.run("audit").out
    assert installed.run("audit").code == 0
    outcome = installed.run("audit", "--fail-on", "low")
    assert outcome.code == 3
    assert "no-license" in outcome.out
    text = installed.file.read_text()
    installed.file.write_text(f'{text}\n[[audit.ignore]]\ncode = "no-license"\n')
    said = installed.fail("audit", code=1, kind="spec")
    assert "reason" in said
    assert "until" in said


def test_upgrade_changes_only_the_named_skills(world: World, models: Models) -> None:
    """Upgrading one package upgrades unrelated ones (brew 6216)."""
    world.init(models.tuned("mlp")[0])
    for seed, name in enumerate(("a", "b"), start=1):
        world.publish(models.tuned("attn", seed=seed), f"acme/{name}", "1.0.0")
    world.ask("install", "acme/a", "acme/b")
    for seed, name in enumerate(("a", "b"), start=3):
        world.publish(models.tuned("attn", seed=seed), f"acme/{name}", "1.1.0")
    moved = world.ask("upgrade", "acme/a")["changed"]
    assert [one["skill"] for one in moved] == ["acme/a"]
    assert world.installed() == {"acme/a": "1.1.0", "acme/b": "1.0.0"}


def test_install_takes_over_the_lock_of_a_dead_process(installed: World) -> None:
    """A tool is blocked permanently after an interruption (pixi 2738, helm 11863)."""
    holder = installed.project / ".skillpm" / "holder.json"
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    holder.write_text(
        f'{{"pid": {child}, "command": "install", "since": 1.0, "host": "", "boot": ""}}'
    )
    outcome = run_here("install")
    assert outcome.code == 0
    assert re.search("took over|nothing to change", outcome.out + outcome.err)
    assert not holder.exists()


def test_install_of_a_full_version_installs_exactly_that_release(world: World, math: Pair) -> None:
    """`install acme/sql@1.0.0` installs 1.1.0."""
    world.init(math[0])
    for version in ("1.0.0", "1.1.0"):
        world.publish(math, "acme/sums", version)
    world.ask("install", "acme/sums@1.0.0")
    assert world.installed() == {"acme/sums": "1.0.0"}
    assert '"acme/sums" = "=1.0.0"' in world.file.read_text()


def test_history_shows_the_merge_method_of_each_generation(installed: World) -> None:
    text = installed.file.read_text()
    for method in ("ties", "dare"):
        installed.file.write_text(f'{text}\n[graft]\nmethod = "{method}"\n')
        assert installed.run("install").code == 0
    shown = [one["graft"]["method"] for one in installed.ask("history")["generations"]]
    assert shown == ["sum", "sum", "ties", "dare"]
    lines = installed.run("history").out.splitlines()
    assert "density=" in lines[-1]
    assert "dare" in lines[-1]
