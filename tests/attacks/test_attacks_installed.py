"""Installed packs were verified on the base, or are marked as unverified."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attack_worlds import forge_of
from cut_packs import CutPacks
from skillpm_world import World, run_process, snapshot
from tiny_models import Models, Pair

from skillpm.archive.reader import open_pack

LIES = {"ratio": 1e6, "delta_bytes": 7, "scheme": "graftllm"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: CutPacks) -> World:
    """A separate project; the other tests of this folder have an archive."""
    found = World(tmp_path, cut)
    found.project.mkdir()
    monkeypatch.setenv("SKILLPM_HOME", str(found.home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("SKILLPM_BASE", raising=False)
    monkeypatch.chdir(found.project)
    return found


@pytest.fixture
def liar(world: World, math: Pair) -> Path:
    """A pack with a correct root and a wrong ratio."""
    forge = forge_of(world.pack(math, "acme/math", "1.0.0"))
    forge.manifest["compression"]["ratio"] = 1e6
    return forge.write(world.folder / "liar.skillpack")


def test_install_verifies_a_pack_once(world: World, math: Pair) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    first = world.run("install", "acme/math")
    assert first.code == 0
    assert "verifying acme/math 1.0.0 on the base" in first.err
    (row,) = world.ask("list")["skills"]
    assert row["verified"]
    world.ask("uninstall", "acme/math")
    assert "verifying" not in world.run("install", "acme/math").err


def test_verified_pack_is_installed_without_tensor_libraries(world: World, math: Pair) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    world.ask("rollback", 0)
    lock = world.lock
    loaded = (
        "import sys; from skillpm.cli import main\n"
        "try: main(['install', 'acme/math', '-q'])\n"
        "except SystemExit as done: assert done.code == 0\n"
        "print(sorted({'torch', 'skillpm.flows.packs.verify_on_base'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout
    assert "acme/math" in world.lock
    assert lock != world.lock


@pytest.mark.parametrize("lie", LIES)
def test_pack_with_a_false_statement_makes_no_generation(
    lie: str, world: World, math: Pair, tmp_path: Path
) -> None:
    world.init(math[0])
    forge = forge_of(world.pack(math, "acme/math", "1.0.0"))
    forge.manifest["compression"][lie] = LIES[lie]
    path = forge.write(tmp_path / "liar.skillpack")
    before = snapshot(world.project)
    said = world.fail("install", path, code=3, kind="integrity")
    assert re.search(
        r"the manifest of acme/math 1\.0\.0 has \d+ false statements?:\n  compression\.", said
    )
    assert snapshot(world.project) == before
    assert world.ask("search")["results"] == [], "nothing was published either"


def test_false_published_pack_is_refused_with_all_skills_of_the_command(
    world: World, math: Pair, models: Models, liar: Path
) -> None:
    world.init(math[0])
    world.ask("publish", liar)
    world.publish(models.tuned("attn", seed=2), "acme/sql", "1.0.0")
    said = world.fail("install", "acme/math", "acme/sql", code=3, kind="integrity")
    assert "acme/math 1.0.0" in said
    assert world.installed() == {}
    world.ask("install", "acme/sql")


def test_install_without_the_base_reports_that_nothing_was_verified(
    world: World, math: Pair, liar: Path
) -> None:
    base = Path(shutil.copytree(math[0], world.folder / "base"))
    world.init(base)
    base.rename(world.folder / "away")
    done = world.ask("install", liar)
    (note,) = done["notes"]
    assert note.startswith("1 pack not verified: there is no model at")
    assert not world.ask("list")["skills"][0]["verified"]
    assert world.run("list").out.endswith("  no\n")
    findings = world.ask("audit")["findings"]
    assert ("low", "unverified") in {(one["level"], one["code"]) for one in findings}

    (world.folder / "away").rename(base)
    found = world.ask("audit", code=3)["findings"]
    (false,) = [one for one in found if one["code"] == "manifest-false"]
    assert (false["level"], false["skill"]) == ("critical", "acme/math")
    assert "compression.ratio" in false["message"]
    assert "compression.ratio" in world.fail("install", code=3, kind="integrity")


def test_install_with_another_base_at_the_path_verifies_nothing(
    world: World, math: Pair, models: Models
) -> None:
    base = Path(shutil.copytree(math[0], world.folder / "base"))
    world.init(base)
    world.publish(math, "acme/math", "1.0.0")
    shutil.rmtree(base)
    shutil.copytree(models.pair("bf16")[0], base)
    (note,) = world.ask("install", "acme/math")["notes"]
    assert "the project expects" in note


def test_verification_record_in_a_project_is_ignored(world: World, math: Pair, liar: Path) -> None:
    world.init(math[0])
    opened = open_pack(liar)
    root = str(opened.manifest.base.root)
    record = {"pack": str(opened.digest), "base": root, "rules": 99}
    folder = world.project / ".skillpm" / "verified"
    folder.mkdir()
    name = f"{opened.digest.hex}-{root.removeprefix('sha256:')}.json"
    (folder / name).write_text(json.dumps(record))
    world.fail("install", liar, code=3, kind="integrity")


def test_unverified_packs_are_marked_before_installation(
    world: World, math: Pair, models: Models
) -> None:
    world.init(math[0])
    path = world.pack(math, "acme/math", "1.0.0")
    world.ask("publish", path)
    assert [one["verified"] for one in world.ask("search", "math")["results"]] == [False]
    assert [one["verified"] for one in world.ask("show", "acme/math")["releases"]] == [False]
    assert world.ask("install", "acme/math", "--dry-run")["forecast_unverified"] == ["acme/math"]
    assert world.ask("inspect", path)["verified_on"] == []
    assert "not on this machine" in world.run("inspect", path).out

    root = world.ask("verify", path, "--base", math[0])["result_root"]
    assert root
    assert [one["verified"] for one in world.ask("search", "math")["results"]] == [True]
    assert [one["verified"] for one in world.ask("show", "acme/math")["releases"]] == [True]
    assert world.ask("install", "acme/math", "--dry-run")["forecast_unverified"] == []
    assert world.ask("inspect", path)["verified_on"] == [world.ask("identify", math[0])["root"]]


def test_verify_and_inspect_show_claims(world: World, math: Pair) -> None:
    path = world.pack(math, "acme/math", "1.0.0", "--summary", "adds up", "--scheme", "graftllm")
    for command in (("inspect", path), ("verify", path), ("verify", path, "--base", math[0])):
        document = world.ask(*command)
        claims = {one["path"]: one for one in document["claims"]}
        assert claims["summary"]["value"] == "adds up"
        assert claims["compression.relative_error"]["reason"] == "checking it needs the tuned model"
        shown = world.run(*command).out
        assert "claimed by the author, and not checked:" in shown
        assert "compression.relative_error" in shown


def test_install_from_a_bundle_verifies_on_the_receiving_machine(
    world: World, math: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    world.ask("bundle", world.folder / "all.skillbundle")
    away = World(tmp_path / "away")
    away.project.mkdir(parents=True)
    monkeypatch.chdir(away.project)
    done = run_process(
        "install", "--from", world.folder / "all.skillbundle", "--base", math[0],
        SKILLPM_HOME=str(away.home),
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "verifying acme/math 1.0.0 on the base" in done.err
