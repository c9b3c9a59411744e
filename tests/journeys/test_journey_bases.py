"""Bases that are nearly right, packs with false bases, and grafts that were changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from skillpm_world import World, root_of, snapshot
from tiny_models import Models, Pair, copy_model, rewrite

BUFFER = "model.layers.0.self_attn.rotary_emb.inv_freq"


@pytest.fixture
def near(models: Models, tmp_path: Path) -> tuple[Path, Path, Path]:
    """A base, its fine-tune, and the base saved again without a buffer that neither changes."""
    base, _ = models.pair("buffer")
    tuned = copy_model(base, tmp_path / "near-tuned")
    rewrite(tuned, lambda tensors: tensors["lm_head.weight"].add_(0.5))
    resaved = copy_model(base, tmp_path / "near-resaved")
    rewrite(resaved, lambda tensors: tensors.pop(BUFFER))
    return base, tuned, resaved


def test_verify_recognises_a_base_that_differs_outside_the_footprint(
    world: World, models: Models, near: tuple[Path, Path, Path]
) -> None:
    base, tuned, resaved = near
    pack = world.pack((base, tuned), "acme/math", "1.0.0")
    assert world.ask("verify", pack, "--base", base)["result_root"] == root_of(tuned)
    text = world.fail("verify", pack, "--base", resaved, code=3, kind="integrity")
    assert "all tensors that the pack changes are the same" in text
    assert "--accept-footprint" in text
    found = world.ask("verify", pack, "--base", resaved, "--accept-footprint")
    assert found["result_root"] not in {root_of(tuned), root_of(resaved)}
    other = models.pair("fp16")[0]
    for more in ((), ("--accept-footprint",)):
        text = world.fail("verify", pack, "--base", other, *more, code=3, kind="integrity")
        assert "all tensors" not in text


def test_graft_recognises_a_base_that_differs_outside_the_footprint(
    world: World, models: Models, near: tuple[Path, Path, Path]
) -> None:
    base, tuned, resaved = near
    world.init(base)
    world.ask("install", world.pack((base, tuned), "acme/math", "1.0.0"))
    text = world.fail("graft", "--base", resaved, code=3, kind="integrity")
    assert "all tensors that the installed packs change are equal" in text
    assert "--accept-footprint" in text
    text = world.fail("graft", "--base", models.pair("fp16")[0], code=3, kind="integrity")
    assert "all tensors" not in text
    assert not (world.project / "graft").exists()


def test_install_without_a_lock_keeps_an_accepted_footprint(
    world: World, near: tuple[Path, Path, Path]
) -> None:
    base, tuned, resaved = near
    world.init(resaved)
    world.publish((base, tuned), "acme/math", "1.0.0")
    world.ask("install", "acme/math", "--accept-footprint")
    lock = world.lock
    (world.project / "skillpm.lock").unlink()
    assert world.ask("install")["generation"] == 1
    assert world.lock == lock


def test_audit_reports_every_change_to_a_graft(world: World, math: Pair) -> None:
    base = copy_model(math[0], world.folder / "base")
    world.init(base)
    world.ask("install", world.pack((base, math[1]), "acme/math", "1.0.0"))
    world.graft_root()
    folder = world.project / "graft"
    stamp, config = folder / ".skillpm-graft.json", folder / "config.json"
    whole = {path: path.read_bytes() for path in (stamp, config)}

    def damaged() -> list[tuple[str, str]]:
        found = world.ask("audit", code=3)["findings"]
        for path, data in whole.items():
            path.write_bytes(data)
        return [(one["level"], one["code"]) for one in found][:1]

    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_act": "relu"}))
    assert damaged() == [("critical", "graft-damaged")]
    config.unlink()
    assert damaged() == [("critical", "graft-damaged")]
    stamp.write_text("{")
    assert damaged() == [("critical", "graft-damaged")]
    stamp.write_text("{}")
    assert damaged() == [("critical", "graft-damaged")]
    weights = folder / "model.safetensors"
    tensors = weights.read_bytes()
    rewrite(folder, lambda tensors: tensors["lm_head.weight"].add_(1))
    forged = {**json.loads(stamp.read_text()), "root": root_of(folder)}
    stamp.write_text(json.dumps(forged))
    assert damaged() == [("critical", "graft-damaged")]
    weights.write_bytes(tensors)
    assert world.run("audit").code == 0


def test_audit_reports_a_stale_graft_as_low(world: World, math: Pair) -> None:
    world.init(math[0])
    world.ask("install", world.pack(math, "acme/math", "1.0.0"))
    world.graft_root()
    world.ask("uninstall", "acme/math")
    found = world.ask("audit")["findings"]
    assert [(one["level"], one["code"]) for one in found] == [("low", "graft-stale")]


def test_registry_path_is_relative_to_the_project_file(
    world: World, math: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.init(math[0])
    made = world.ask("registry", "--json", "init", world.project / "ours")
    assert made["registry"] == str(world.project / "ours")
    world.ask("publish", world.pack(math, "acme/math", "1.0.0"), "--registry", "ours")
    named = '\n[registries]\nteam = { url = "ours", namespaces = ["acme"] }\n'
    world.file.write_text(world.file.read_text() + named)
    monkeypatch.chdir(world.folder)
    done = world.ask("-C", "project", "install", "acme/math")
    assert done["generation"] == 1
    assert 'registry = "team"' in world.lock
    skills = world.ask("-C", "project", "graft")["skills"]
    assert [set(one) for one in skills] == [{"skill", "version", "digest"}]
    assert skills[0]["digest"] == done["added"][0]["digest"]


def test_pack_refuses_a_graft_as_base_with_the_over_hint(
    world: World, math: Pair, tmp_path: Path
) -> None:
    world.init(math[0])
    world.ask("install", world.pack(math, "acme/math", "1.0.0"))
    world.graft_root()
    tuned = copy_model(math[1], tmp_path / "tuned")
    rewrite(tuned, lambda tensors: tensors["lm_head.weight"].add_(1))
    for base in (world.project / "graft", world.project / "graft" / "model.safetensors"):
        named = ("--name", "acme/up", "--version", "1.0.0")
        assert "--over" in world.fail("pack", base, tuned, *named, code=1, kind="graft")


def test_graft_only_with_a_skill_that_is_not_installed_fails(world: World, math: Pair) -> None:
    world.init(math[0])
    world.ask("install", world.pack(math, "acme/math", "1.0.0"))
    before = snapshot(world.project)
    text = world.fail("graft", "--only", "acme/sql", code=4, kind="not_found")
    assert "acme/sql" in text
    assert snapshot(world.project) == before


_TERMINAL = """
import os, pty, sys
code = pty.spawn([sys.executable, "-m", "skillpm", *sys.argv[1:]])
sys.exit(os.waitstatus_to_exitcode(code))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
@pytest.mark.parametrize(
    ("more", "variable", "colored"),
    [((), "", True), (("--no-color",), "", False), ((), "1", False)],
    ids=["plain", "--no-color", "NO_COLOR"],
)
def test_errors_on_a_terminal_are_colored_unless_disabled(
    world: World, more: tuple[str, ...], variable: str, *, colored: bool
) -> None:
    source = str(Path(__file__).parents[2])
    ran = subprocess.run(
        [sys.executable, "-c", _TERMINAL, "list", *more],
        capture_output=True, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": source, "NO_COLOR": variable, "TERM": "xterm"},
    )  # fmt: skip
    assert ran.returncode == 1, ran
    assert b"error:" in ran.stdout
    assert (b"\x1b" in ran.stdout) == colored


@pytest.mark.parametrize("name", ["notes.txt", "extra", "tokenizer.json"])
def test_graft_refuses_a_link_of_the_projects_base_that_leads_outside(
    world: World, math: Pair, name: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("private")
    base = copy_model(math[0], world.project / "model")
    (base / name).unlink(missing_ok=True)
    world.init(base)
    (base / name).symlink_to(secret if name == "extra" else secret / "key")
    text = world.fail("graft", code=1, kind="spec")
    assert f"`{base / name}` is a link that leads out of the project" in text
    assert not (world.project / "graft").exists()
    if name != "tokenizer.json":
        world.graft_root("--base", base)


def test_graft_follows_links_of_a_base_outside_the_project(
    world: World, math: Pair, tmp_path: Path
) -> None:
    """The layout of snapshots in a hub cache."""
    blobs, snapshot_ = copy_model(math[0], tmp_path / "blobs"), tmp_path / "snapshot"
    snapshot_.mkdir()
    for path in blobs.iterdir():
        (snapshot_ / path.name).symlink_to(path)
    world.init(snapshot_)
    assert world.graft_root() == root_of(math[0])
