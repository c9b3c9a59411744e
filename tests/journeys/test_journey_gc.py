"""What `gc` removes and keeps, and what `cache` reports and repairs."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from skillpm_world import World, run_here, snapshot
from tiny_models import Models, Pair, copy_model, rewrite

from skillpm.environment.known_projects import KnownProjects
from skillpm.journal.owner import this_process
from skillpm.spec.digests import Digest
from skillpm.store.blobs import Store

DAY = 86_400


@pytest.fixture
def pair(models: Models) -> Pair:
    return models.tuned("mlp")


@pytest.fixture
def upgraded(world: World, models: Models, pair: Pair) -> World:
    """A project in generation 2: `acme/math` 1.0.0 was replaced by 2.0.0."""
    world.init(pair[0])
    world.publish(pair, "acme/math", "1.0.0")
    world.publish(models.tuned("attn", seed=2), "acme/math", "2.0.0")
    world.ask("install", "acme/math@=1.0.0")
    world.ask("install", "acme/math@=2.0.0")
    return world


def _blobs(world: World) -> set[Digest]:
    return set(Store(world.home / "store").blobs())


def _of_current(world: World) -> set[str]:
    return {one["digest"] for one in world.ask("list")["skills"]}


def _gc(world: World, *more: object) -> dict[str, Any]:
    return world.ask("gc", "--grace", "0", "-y", *more)


def test_gc_keeps_every_generation_by_default(upgraded: World) -> None:
    before = _blobs(upgraded)
    done = _gc(upgraded)
    assert (done["freed_blobs"], done["pruned"]) == (0, [])
    assert _blobs(upgraded) == before
    shutil.rmtree(upgraded.home / "registry")
    roots = {}
    for number in (1, 2, 0):
        upgraded.ask("rollback", number, "--offline")
        roots[number] = upgraded.graft_root("--offline")
    assert len(set(roots.values())) == 3


def test_gc_keeps_number_and_description_of_pruned_generations(upgraded: World) -> None:
    done = _gc(upgraded, "--keep", "1")
    assert [one["generation"] for one in done["pruned"]] == [1]
    assert done["freed_blobs"] > 0
    history = upgraded.ask("history")
    assert [one["number"] for one in history["generations"]] == [0, 1, 2]
    assert [bool(one["pruned"]) for one in history["generations"]] == [False, True, False]
    assert history["generations"][1]["skills"][0]["version"] == "1.0.0"
    assert "pruned" in run_here("history").out
    text = upgraded.fail("rollback", 1, code=1, kind="not_found")
    assert "was pruned by `skillpm gc`" in text
    assert upgraded.ask("diff", 1, 2)["changed"]
    assert _gc(upgraded, "--keep", "1")["pruned"] == []
    upgraded.graft_root("--offline")
    assert upgraded.ask("cache", "verify")["damaged"] == []


def test_gc_dry_run_reports_exactly_what_gc_removes(upgraded: World) -> None:
    before = snapshot(upgraded.folder)
    would = _gc(upgraded, "--keep", "1", "--dry-run")
    assert snapshot(upgraded.folder) == before
    done = _gc(upgraded, "--keep", "1")
    assert would == {**done, "dry_run": True}
    held = sum(p.stat().st_size for p in (upgraded.home / "store" / "sha256").rglob("*/*"))
    assert held == done["kept_bytes"]


def test_gc_keeps_blobs_within_the_grace_period(upgraded: World) -> None:
    before = _blobs(upgraded)
    done = upgraded.ask("gc", "--keep", "1", "-y")
    assert done["freed_blobs"] == 0
    assert done["young_blobs"] > 0
    assert _blobs(upgraded) == before
    for path in (upgraded.home / "store" / "sha256").rglob("*/*"):
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    assert upgraded.ask("gc")["freed_blobs"] == done["young_blobs"]


def test_gc_prunes_generations_by_the_time_since_their_replacement(upgraded: World) -> None:
    assert _gc(upgraded, "--older-than", "1")["pruned"] == []
    file = upgraded.project / ".skillpm" / "generations" / "2.json"
    file.write_text(re.sub('"created": "....', '"created": "2001', file.read_text()))
    assert _gc(upgraded, "--older-than", "1", "--keep", "5")["pruned"] == []
    assert len(_gc(upgraded, "--older-than", "1")["pruned"]) == 1


def test_gc_keeps_blobs_of_another_project(upgraded: World, pair: Pair) -> None:
    other = upgraded.folder / "other"
    other.mkdir()
    upgraded.ask("-C", other, "init", "--base", pair[0])
    upgraded.ask("-C", other, "install", "acme/math@=1.0.0")
    assert _gc(upgraded, "--keep", "1")["freed_blobs"] == 0
    shutil.rmtree(other)
    done = _gc(upgraded, "--keep", "1")
    assert done["freed_blobs"] > 0
    assert any(f"`{other}` no longer exists" in note for note in done["notes"])


def test_gc_keeps_blobs_of_a_project_on_an_unmounted_disk(upgraded: World) -> None:
    away = upgraded.folder / "disk" / "project"
    away.parent.mkdir()
    upgraded.project.rename(away)
    known = KnownProjects(upgraded.home)
    (one,) = known
    assert known.forget(one.folder)
    known.remember(away, one.packs)
    record = next((upgraded.home / "projects").glob("*.json"))
    device = f'"device": {away.stat().st_dev}'
    record.write_text(record.read_text().replace(device, '"device": 424242'))
    hidden = away.rename(upgraded.folder / "hidden")
    upgraded.project.mkdir()
    os.chdir(upgraded.project)
    before = _blobs(upgraded)
    done = _gc(upgraded, "--keep", "1")
    assert "may be on a disk that is not mounted" in done["notes"][0]
    assert _blobs(upgraded) == before
    done = _gc(upgraded, "--forget", away)
    assert _blobs(upgraded) == set()
    assert hidden.exists()


def test_gc_keeps_all_blobs_of_a_project_with_an_unreadable_lock(upgraded: World) -> None:
    before = _blobs(upgraded)
    (upgraded.project / "skillpm.lock").write_text("<<<<<<< ours\n")
    shutil.rmtree(upgraded.project / ".skillpm" / "generations")
    done = _gc(upgraded)
    assert "cannot be read" in done["notes"][0]
    assert _blobs(upgraded) == before


def test_gc_keeps_packs_that_only_a_lock_references(upgraded: World) -> None:
    shutil.rmtree(upgraded.project / ".skillpm")
    _gc(upgraded)
    upgraded.ask("install", "--frozen", "--offline")
    shutil.rmtree(upgraded.home / "registry")
    upgraded.graft_root()


def test_gc_keeps_packs_below_a_layered_pack(world: World, pair: Pair, tmp_path: Path) -> None:
    world.init(pair[0])
    world.publish(pair, "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    top = copy_model(pair[1], tmp_path / "top")
    rewrite(top, lambda tensors: tensors["model.norm.weight"].add_(0.5))
    world.publish((pair[0], top), "acme/top", "1.0.0", "--over", "acme/math")
    world.ask("install", "acme/top")
    before = _blobs(world)
    assert _gc(world, "--keep", "1")["freed_blobs"] == 0
    assert _blobs(world) == before


def test_gc_removes_no_blob_if_documents_of_a_pack_are_damaged(upgraded: World) -> None:
    store = Store(upgraded.home / "store")
    (digest,) = _of_current(upgraded)
    store.path_of(Digest(digest)).write_bytes(b"{}")
    before = _blobs(upgraded)
    done = _gc(upgraded, "--keep", "1")
    assert "no blob is removed" in "".join(done["notes"])
    assert _blobs(upgraded) == before
    assert upgraded.ask("cache", "verify", "--repair")["damaged"][0]["repaired"] is True
    assert _gc(upgraded)["freed_blobs"] > 0


def test_cache_verify_names_a_damaged_blob_with_its_skills_and_repairs_it(upgraded: World) -> None:
    assert upgraded.ask("cache", "verify")["damaged"] == []
    path = max(
        (upgraded.home / "store" / "sha256").rglob("*/*"), key=lambda path: path.stat().st_size
    )
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    found = upgraded.ask("cache", "verify", code=3)["damaged"]
    assert [one["digest"] for one in found] == [f"sha256:{path.name}"]
    assert found[0]["skills"][0].startswith("acme/math ")
    assert "needed by acme/math" in run_here("cache", "verify").out
    (upgraded.home / "registry").rename(upgraded.home / "away")
    unmended = upgraded.ask("cache", "verify", "--repair", code=3)["damaged"]
    assert unmended[0]["problem"]
    (upgraded.home / "away").rename(upgraded.home / "registry")
    mended = upgraded.ask("cache", "verify", "--repair")["damaged"]
    assert mended == [{**found[0], "repaired": True, "problem": None}]
    assert upgraded.ask("cache", "verify")["damaged"] == []


def test_cache_verify_repair_removes_a_damaged_unreferenced_blob(upgraded: World) -> None:
    loose = upgraded.home / "store" / "sha256" / "00" / ("0" * 64)
    loose.parent.mkdir(exist_ok=True)
    loose.write_bytes(b"not this")
    assert upgraded.ask("cache", "verify", code=3)["damaged"][0]["skills"] == []
    assert upgraded.ask("cache", "verify", "--repair")["damaged"][0]["repaired"] is True
    assert not loose.exists()


def test_cache_info_reports_sizes_and_clean_removes_derived_files(upgraded: World) -> None:
    upgraded.graft_root()
    leaf = upgraded.home / "cache" / "leaves" / "old.json"
    leaf.parent.mkdir(parents=True, exist_ok=True)
    leaf.write_bytes(b"{}")
    os.utime(leaf, (time.time() - 100 * DAY,) * 2)
    info = upgraded.ask("cache", "info")
    assert info["sizes"]["store"] == sum(one["bytes"] for one in info["skills"])
    assert info["unreachable_bytes"] == 0
    assert [one["release"] for one in info["skills"]] == ["acme/math 1.0.0", "acme/math 2.0.0"]
    assert "acme/math 2.0.0" in run_here("cache", "info").out
    assert _gc(upgraded)["cache_bytes"] == 2
    assert not leaf.exists()
    assert upgraded.ask("cache", "clean")["freed_bytes"] >= 0
    assert upgraded.ask("cache", "info")["sizes"]["leaves"] == 0
    assert run_here("cache", "path").out.strip() == str(upgraded.home)
    assert run_here("gc").code == 0


def test_gc_prunes_nothing_of_a_locked_project(upgraded: World) -> None:
    from skillpm.files.folder import Folder
    from skillpm.journal.lock import hold_lock

    with hold_lock(Folder.open(upgraded.project / ".skillpm"), "graft", timeout=1, say=print):
        done = _gc(upgraded, "--keep", "1")
    assert done["pruned"] == []
    assert "all generations of" in done["notes"][-1]


def test_gc_removes_the_lock_record_of_a_dead_gc_only(upgraded: World) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    dead = replace(this_process("gc", time.time()), pid=process.pid)
    holder = upgraded.project / ".skillpm" / "holder.json"
    holder.write_bytes(dead.dumps())
    done = _gc(upgraded)
    assert not holder.exists()
    assert done["pruned"] == []
    assert any(note.startswith("took over from `skillpm gc`") for note in done["notes"])
    holder.write_bytes(this_process("install", time.time()).dumps())
    assert _gc(upgraded)["notes"] == [], "one that is alive is left alone"
    assert holder.exists()


def test_gc_asks_before_it_prunes_more_than_by_default(upgraded: World) -> None:
    before = snapshot(upgraded.folder)
    text = upgraded.fail("gc", "--keep", "1", "--grace", "0", code=2, kind="usage")
    assert "1 generation would be pruned that gc keeps by default (1)" in text
    assert "`-y`" in text
    assert snapshot(upgraded.folder) == before
    assert upgraded.ask("gc", "--keep", "10", "--older-than", "30")["pruned"] == []
    assert upgraded.ask("gc", "--keep", "1", "--grace", "0", "-y")["pruned"] != []


def test_gc_reports_blobs_dated_in_the_future_and_resets_their_age(upgraded: World) -> None:
    for path in (upgraded.home / "store" / "sha256").rglob("*/*"):
        os.utime(path, (3_786_912_000,) * 2)
    done = upgraded.ask("gc", "--keep", "1", "-y")
    assert done["young_blobs"] > 0
    assert any("dated in the future, up to 2090-01-01" in note for note in done["notes"])
    again = upgraded.ask("gc", "--grace", "0")
    assert again["freed_blobs"] == done["young_blobs"]
    assert again["notes"] == []


def test_gc_keeps_a_generation_dated_in_the_future_and_explains_why(upgraded: World) -> None:
    path = upgraded.project / ".skillpm" / "generations" / "2.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({**plain, "created": "2090-01-01T00:00:00Z"}))
    done = _gc(upgraded, "--older-than", "1")
    assert done["pruned"] == []
    assert any("2090" in note and "--keep N" in note for note in done["notes"])
    assert upgraded.ask("history")["current"] == 2
    assert [one["generation"] for one in _gc(upgraded, "--keep", "1")["pruned"]] == [1]
