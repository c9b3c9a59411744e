"""`bundle` and `install --from`: an environment in one file, for machines without a network."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from skillpm_world import World, root_of, snapshot
from tiny_models import Models, Pair

from skillpm.spec.digests import Digest


@dataclass
class Away:
    """Another machine: its own home and folder, and a base at another path."""

    world: World
    base: Path


@pytest.fixture
def team(world: World, math: Pair, models: Models) -> World:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(models.tuned("attn", seed=2), "acme/sql", "1.0.0", "--requires", "acme/math ^1")
    world.ask("install", "acme/sql", "acme/math ^1")
    world.file.write_text(world.file.read_text() + "# mine\n")
    return world


@pytest.fixture
def bundle(team: World) -> Path:
    path = team.folder / "team.skillbundle"
    text = team.file.read_text().replace('"acme/sql"', '# sums\n"acme/sql"')
    team.file.write_text(text)
    team.ask("bundle", path)
    return path


@pytest.fixture
def away(team: World, bundle: Path, math: Pair, monkeypatch: pytest.MonkeyPatch) -> Away:
    there = World(team.folder / "away")
    there.project.mkdir(parents=True)
    monkeypatch.setenv("SKILLPM_HOME", str(there.home))
    monkeypatch.setenv("SKILLPM_OFFLINE", "1")
    monkeypatch.chdir(there.project)
    base = shutil.copytree(math[0], there.folder / "moved-base")
    shutil.move(team.home, team.folder / "unreachable")
    return Away(there, Path(base))


def test_bundle_installs_the_same_environment_on_an_empty_machine(
    team: World, bundle: Path, away: Away
) -> None:
    done = away.world.ask("install", "--from", bundle, "--base", away.base)
    assert done["generation"] == 1
    assert away.world.lock == team.lock
    assert away.world.installed() == {"acme/math": "1.0.0", "acme/sql": "1.0.0"}
    for comment in ("# mine", '# sums\n"acme/sql"'):
        assert comment in away.world.file.read_text()
    assert "moved-base" in away.world.file.read_text()
    assert (
        away.world.ask("history")["generations"][1]["action"] == "install --from team.skillbundle"
    )
    assert away.world.ask("install", "--frozen")["generation"] == 1
    root = away.world.graft_root()
    assert root_of(away.world.project / "graft") == root
    assert not [one for one in away.world.ask("audit", "--graft", "graft", code=0)["findings"]
                if one["level"] in ("high", "critical")]  # fmt: skip


def test_bundle_grafts_to_the_root_of_its_sender(
    team: World, math: Pair, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = team.graft_root()
    assert root in team.lock
    path = team.folder / "grafted.skillbundle"
    team.ask("bundle", path)
    there = World(team.folder / "away")
    there.project.mkdir(parents=True)
    monkeypatch.setenv("SKILLPM_HOME", str(there.home))
    monkeypatch.chdir(there.project)
    there.ask("install", "--from", path, "--base", math[0])
    assert root in there.lock
    assert there.graft_root() == root


def test_bundle_is_deterministic_and_contains_no_local_path(team: World, bundle: Path) -> None:
    again = team.folder / "again.skillbundle"
    team.ask("bundle", again)
    assert again.read_bytes() == bundle.read_bytes()
    assert str(team.folder).encode() not in bundle.read_bytes()


def test_bundle_generation_selects_an_older_generation(team: World, math: Pair) -> None:
    team.ask("uninstall", "acme/sql")
    path = team.folder / "old.skillbundle"
    found = team.ask("bundle", path, "--generation", 1)
    assert [one["skill"] for one in found["skills"]] == ["acme/math", "acme/sql"]
    assert "bundled 1 skill into" in team.run("bundle", team.folder / "now.skillbundle").out
    assert team.ask("install", "--from", path)["generation"] == 3
    assert set(team.installed()) == {"acme/math", "acme/sql"}
    assert team.ask("install", "--from", path)["generation"] == 3


def test_install_from_a_bundle_replaces_the_set_and_rollback_restores_it(
    away: Away, bundle: Path
) -> None:
    away.world.init(away.base)
    text = away.world.file.read_text()
    away.world.file.write_text("# a comment of theirs\n" + text)
    would = away.world.ask("install", "--from", bundle, "--dry-run")
    assert would["dry_run"]
    assert away.world.ask("list")["generation"] == 0
    done = away.world.ask("install", "--from", bundle)
    assert [one["skill"] for one in done["added"]] == ["acme/math", "acme/sql"]
    assert done["fetched_bytes"] > 0
    assert away.world.file.read_text().startswith("# a comment of theirs\n")
    away.world.ask("rollback")
    assert away.world.installed() == {}
    assert "fetched" not in away.world.run("install", "--from", bundle).out


def test_install_from_a_bundle_with_frozen_requires_the_same_lock(
    team: World, away: Away, bundle: Path
) -> None:
    """A clone in CI: it has the lock and the project file, and the packs are in the bundle."""
    for name in ("skillpm.toml", "skillpm.lock"):
        shutil.copy(team.project / name, away.world.project)
    before = snapshot(away.world.project)
    away.world.ask("install", "--from", bundle, "--frozen")
    after = snapshot(away.world.project)
    assert {name: after[name] for name in before} == before
    assert len(away.world.installed()) == 2
    away.world.ask("uninstall", "acme/sql")
    said = away.world.fail("install", "--from", bundle, "--frozen", code=1, kind="state")
    assert "the bundle contains other skills" in said


def test_install_from_a_bundle_without_a_base_creates_no_project(
    away: Away, bundle: Path, models: Models
) -> None:
    said = away.world.fail("install", "--from", bundle, code=2, kind="usage")
    assert "--base ./" in said
    wrong = models.tuned("mlp")[1]
    command = ("install", "--from", bundle, "--base", wrong)
    assert "should be `sha256:" in away.world.fail(*command, code=3, kind="integrity")
    assert "skillpm init" in away.world.fail(
        "install", "--from", bundle, "--dry-run", code=1, kind="not_found"
    )
    assert list(away.world.project.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("acme/other",), "was given too"),
        (("--lowest",), "cannot be used together"),
        (("--allow-yanked",), "cannot be used together"),
        (("--accept-footprint",), "cannot be used together"),
    ],
)
def test_install_from_a_bundle_refuses_conflicting_flags(
    team: World, bundle: Path, more: tuple[str, ...], said: str
) -> None:
    assert said in team.fail("install", "--from", bundle, *more, code=2, kind="usage")


def test_install_does_not_confuse_packs_and_bundles(team: World, bundle: Path, math: Pair) -> None:
    pack = team.pack(math, "acme/math", "1.0.0")
    assert "install FILE.skillpack" in team.fail("install", "--from", pack, code=1, kind="spec")
    assert "install --from" in team.fail("install", bundle, code=1, kind="spec")


def test_bundle_does_not_overwrite_other_files(team: World, bundle: Path) -> None:
    before = snapshot(team.project)
    said = team.fail("bundle", "skillpm.lock", code=1, kind="state")
    assert "is not a bundle" in said
    assert "is a folder" in team.fail("bundle", ".", code=2, kind="usage")
    assert "cannot be written" in team.fail("bundle", "none/x.skillbundle", code=1, kind="state")
    assert snapshot(team.project) == before
    assert team.ask("bundle", bundle)["bytes"] == bundle.stat().st_size


def test_bundle_refuses_a_lock_ahead_of_the_environment(team: World) -> None:
    team.file.write_text(team.file.read_text().replace('"acme/sql" = "^1.0.0"\n', ""))
    assert "skillpm lock" in team.fail("bundle", "x.skillbundle", code=1, kind="state")


def test_bundle_of_an_empty_environment_installs(world: World, math: Pair) -> None:
    root = world.init(math[0])
    found = world.ask("bundle", "empty.skillbundle")
    assert (found["skills"], found["base_root"]) == ([], root)
    assert world.ask("install", "--from", "empty.skillbundle")["generation"] == 0


def test_bundle_completes_an_interrupted_install_first(team: World, models: Models) -> None:
    team.publish(models.tuned("norm", seed=3), "acme/tone", "1.0.0")
    lock = team.project / "skillpm.lock"
    before = lock.read_text()
    team.ask("install", "acme/tone")
    after = lock.read_text()
    lock.write_text(before)
    file = {"name": lock.name, "before": str(Digest.of(before.encode())), "after": after}
    journal = {"kind": "switch", "number": 2, "files": [file]}
    (team.project / ".skillpm" / "journal.json").write_text(json.dumps(journal))
    bundled = team.ask("bundle", team.folder / "new.skillbundle")
    assert "acme/tone" in {one["skill"] for one in bundled["skills"]}
    assert lock.read_text() == after
    team.file.write_text(team.file.read_text().replace('"acme/tone" = "^1.0.0"\n', ""))
    said = team.fail("bundle", team.folder / "newer.skillbundle", code=1, kind="state")
    assert "the environment cannot be bundled" in said


def test_install_adds_a_skill_to_a_project_from_a_bundle(
    bundle: Path, away: Away, models: Models
) -> None:
    world = away.world
    world.ask("install", "--from", bundle, "--base", away.base)
    added = world.pack(models.tuned("mlp", seed=5), "acme/text", "1.0.0")
    world.ask("install", added)
    assert set(world.installed()) == {"acme/math", "acme/sql", "acme/text"}
    assert "acme/math" not in [one["skill"] for one in world.ask("search", "")["results"]]
    world.ask("uninstall", "acme/text")
    world.ask("install", "acme/text")
    assert world.installed()["acme/math"] == "1.0.0"


def test_locked_skills_resolve_while_their_registry_is_unreachable(
    bundle: Path, away: Away, models: Models
) -> None:
    world = away.world
    world.ask("install", "--from", bundle, "--base", away.base)
    away_registry = f'\n[registries.corp]\nurl = "{world.folder}/gone"\nnamespaces = ["acme"]\n'
    world.file.write_text(world.file.read_text() + away_registry)
    world.ask("lock")
    added = world.pack(models.tuned("mlp", seed=5), "beta/text", "1.0.0")
    world.ask("install", added)
    assert set(world.installed()) == {"acme/math", "acme/sql", "beta/text"}
    assert "gone" in world.fail("install", "acme/other", code=5, kind="registry")
