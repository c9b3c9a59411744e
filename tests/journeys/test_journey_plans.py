"""Saved plans: made by a dry run, applied exactly, refused when stale or edited."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from skillpm_world import World, snapshot
from tiny_models import Models, Pair


@pytest.fixture
def published(world: World, math: Pair, models: Models) -> World:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(models.tuned("attn", seed=2), "acme/sql", "1.0.0")
    return world


def _saved(world: World, *command: object) -> Path:
    path = world.folder / "plan.json"
    path.write_text(json.dumps(world.ask(*command, "--dry-run")))
    return path


COMMANDS = {
    "install": ("install", "acme/math"),
    "uninstall": ("uninstall", "acme/sql"),
    "upgrade": ("upgrade",),
    "rollback": ("rollback", 0),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_apply_does_what_the_planned_command_does(
    published: World, math: Pair, models: Models, name: str
) -> None:
    published.ask("install", "acme/sql")
    published.publish(models.tuned("attn", seed=4), "acme/sql", "1.1.0")
    plan = _saved(published, *COMMANDS[name])
    would = json.loads(plan.read_text())
    assert published.ask("apply", plan, "--dry-run") == would
    would = {key: part for key, part in would.items() if not key.startswith("forecast")}
    done = published.ask("apply", plan)
    assert (done.pop("fetched_bytes") > 0) == (name in ("install", "upgrade"))
    assert {**done, "dry_run": True, "plan": would["plan"]} == would
    after = (published.file.read_text(), published.lock, published.installed())
    actions = [one["action"] for one in published.ask("history")["generations"]]
    published.ask("rollback", 1)
    direct = published.ask(*COMMANDS[name])
    assert (published.file.read_text(), published.lock, published.installed()) == after
    assert direct["added"] == done["added"]
    assert actions[2].startswith(name)


def test_apply_reads_a_plan_from_stdin(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _saved(published, "install", "acme/math").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert published.ask("apply", "-")["generation"] == 1


def test_apply_publishes_the_pack_file_of_a_plan(published: World, models: Models) -> None:
    pack = published.pack(models.tuned("norm", seed=3), "acme/tone", "1.0.0")
    plan = _saved(published, "install", pack)
    assert published.ask("search", "tone")["results"] == []
    before = snapshot(published.folder)
    data = pack.read_bytes()
    pack.write_bytes((published.folder / "acme-math-1.0.0.skillpack").read_bytes())
    published.fail("apply", plan, code=3, kind="integrity")
    pack.write_bytes(data)
    assert snapshot(published.folder) == before
    published.ask("apply", plan)
    assert published.installed() == {"acme/tone": "1.0.0"}
    assert len(published.ask("search", "tone")["results"]) == 1


def _toml(world: World) -> None:
    world.file.write_text(world.file.read_text() + "# a person was here\n")


def _lock(world: World) -> None:
    (world.project / "skillpm.lock").write_text(world.lock + "# a person was here\n")


def _base(world: World) -> None:
    root = f"sha256:{7:064x}"
    line = next(line for line in world.file.read_text().splitlines() if line.startswith("root"))
    world.file.write_text(world.file.read_text().replace(line, f'root = "{root}"'))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_toml, "skillpm.toml has changed"),
        (_lock, "skillpm.lock has changed"),
        (lambda world: (world.project / "skillpm.lock").unlink(), "skillpm.lock was deleted"),
        (_base, "the base was"),
        (lambda world: world.ask("install", "acme/sql"), "the generation was 0 and is now 1"),
    ],
)
def test_apply_refuses_a_stale_plan_with_what_changed(
    published: World, change: Callable[[World], Any], said: str
) -> None:
    plan = _saved(published, "install", "acme/math")
    change(published)
    before = snapshot(published.project)
    for more in ((), ("--dry-run",)):
        text = published.fail("apply", plan, *more, code=1, kind="state")
        assert said in text
        assert "skillpm install … --dry-run --json > plan.json" in text
    assert snapshot(published.project) == before


def test_apply_refuses_a_plan_that_was_applied(published: World) -> None:
    plan = _saved(published, "install", "acme/math")
    published.ask("apply", plan)
    assert "generation was 0" in published.fail("apply", plan, code=1, kind="state")


def _edit(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        at = document["plan"]
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = to

    return change


def _twice(document: dict[str, Any]) -> None:
    document["plan"]["lock"]["skill"] *= 2


HOSTILE = {
    "digest": (_edit("lock", "skill", 0, "digest", to=f"sha256:{1:064x}"), "not_found"),
    "size": (_edit("lock", "skill", 0, "size", to=1), "integrity"),
    "requires": (_edit("lock", "skill", 0, "requires", to=["acme/math *"]), "integrity"),
    "version": (_edit("lock", "skill", 0, "version", to="1.0.1"), "integrity"),
    "weight": (_edit("lock", "skill", 0, "weight", to=0.5), "resolution"),
    "empty": (_edit("lock", "skill", to=[]), "resolution"),
    "unasked": (_edit("wishes", to={}), "resolution"),
    "root": (_edit("lock", "graft", "root", to=f"sha256:{1:064x}"), "integrity"),
    "base": (_edit("lock", "base", "root", to=f"sha256:{1:064x}"), "resolution"),
    "registry": (_edit("lock", "skill", 0, "registry", to="evil"), "resolution"),
    "frozen": (_edit("frozen", to=True), "state"),
    "action": (_edit("action", to="install\x1b[31m"), "spec"),
    "requirement": (_edit("wishes", to={"../x": {}}), "spec"),
    "requirement that is a list": (_edit("wishes", "acme/math", to=["*"]), "spec"),
    "format": (_edit("format", to=2), "spec"),
    "file": (_edit("files", to=[{"path": "/", "digest": f"sha256:{1:064x}"}]), "spec"),
    "twice": (_twice, "spec"),
    "no plan": (lambda document: document.pop("plan"), "spec"),
    "schema": (lambda document: document.update(schema_version=2), "spec"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_apply_refuses_an_edited_plan_and_changes_nothing(published: World, name: str) -> None:
    path = _saved(published, "install", "acme/math")
    document = json.loads(path.read_text())
    change, kind = HOSTILE[name]
    change(document)
    path.write_text(json.dumps(document))
    before = snapshot(published.project)
    outcome = published.run("apply", path, "--json")
    assert outcome.error["kind"] == kind, outcome
    assert outcome.code == {"integrity": 3, "resolution": 4}.get(kind, 1)
    assert snapshot(published.project) == before


def test_apply_refuses_a_plan_without_a_conflict_or_with_a_foreign_base(
    published: World, models: Models
) -> None:
    foreign = models.pair("bf16")
    published.publish(foreign, "acme/far", "1.0.0")
    sql = published.folder / "sql.skillpack"
    pair = models.tuned("attn", seed=5)
    published.ask("pack", *pair, "--name", "acme/foe", "--version", "1.0.0", "-o", sql,
                  "--conflicts", "acme/math")  # fmt: skip
    published.ask("publish", sql)
    shown = {n: published.ask("show", f"acme/{n}")["releases"][0] for n in ("far", "foe")}
    path = _saved(published, "install", "acme/math")
    for name, code in (("far", 4), ("foe", 4)):
        document = json.loads(path.read_text())
        stanza = {**document["plan"]["lock"]["skill"][0], "skill": f"acme/{name}"}
        stanza |= {key: shown[name][key] for key in ("digest", "size")}
        document["plan"]["lock"]["skill"].append(stanza)
        document["plan"]["lock"]["graft"]["root"] = None
        document["plan"]["wishes"][f"acme/{name}"] = {"version": "*"}
        edited = published.folder / "edited.json"
        edited.write_text(json.dumps(document))
        text = published.fail("apply", edited, code=code, kind="resolution")
        assert ("was built for base" in text) == (name == "far")
        stanza["accept_footprint"] = True
        edited.write_text(json.dumps(document))
        published.fail("apply", edited, code=code, kind="resolution")
    assert published.installed() == {}


def test_apply_refuses_a_file_that_is_not_a_plan(published: World) -> None:
    published.fail("apply", "nowhere.json", code=1, kind="not_found")
    path = published.folder / "plan.json"
    for text in ("", "[]", "{", json.dumps(published.ask("list"))):
        path.write_text(text)
        published.fail("apply", path, code=1, kind="spec")
