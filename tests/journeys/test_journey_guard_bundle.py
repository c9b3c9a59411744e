"""`install --from BUNDLE --guard`: a bundle's set is guarded like any other, without a registry."""

import shutil
from pathlib import Path

import pytest
from skillpm_world import World, snapshot
from tiny_learners import MATH_PROBES, Learners, write_probes


@pytest.fixture
def bundles(world: World, learners: Learners) -> dict[str, Path]:
    """A bundle whose probes pass and one whose probes fail, for a machine without the packs."""
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    made = {name: world.folder / f"{name}.skillbundle" for name in ("good", "bad")}
    world.init(learners.base)
    world.ask("install", learners.pack(world, "math", "--probes", probes))
    world.ask("bundle", made["good"])
    world.ask("install", learners.pack(world, "noise"))
    world.ask("bundle", made["bad"])
    for folder in (world.home, world.project):
        shutil.rmtree(folder)
    world.project.mkdir()
    return made


@pytest.fixture
def cleared(world: World, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> World:
    """The machine without the packs."""
    del bundles
    monkeypatch.chdir(world.project)
    return world


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_install_from_a_bundle_with_failing_probes_changes_nothing(
    cleared: World, learners: Learners, bundles: dict[str, Path], more: tuple[str, ...]
) -> None:
    cleared.init(learners.base)
    before = snapshot(cleared.project)
    command = ("install", "--from", bundles["bad"], "--guard", *more)
    said = cleared.fail(*command, code=1, kind="graft")
    assert "culprit: `acme/noise 1.0.0`; without it, the probes of `acme/math` pass" in said
    assert "after the same command without `--guard`, then run `skillpm install --guard`" in said
    assert "same command again" not in said
    assert snapshot(cleared.project) == before


def test_install_from_a_bundle_with_passing_probes_succeeds(
    cleared: World, learners: Learners, bundles: dict[str, Path]
) -> None:
    cleared.init(learners.base)
    command = ("install", "--from", bundles["good"], "--guard")
    assert cleared.ask(*command, "--dry-run")["dry_run"]
    found = cleared.ask(*command)
    assert any("the guard passed" in note for note in found["notes"])
    assert cleared.installed() == {"acme/math": "1.0.0"}


def test_install_from_a_bundle_with_guard_creates_no_project(
    cleared: World, learners: Learners, bundles: dict[str, Path]
) -> None:
    command = ("install", "--from", bundles["bad"], "--base", learners.base, "--guard")
    assert "skillpm init" in cleared.fail(*command, code=1, kind="not_found")
    assert list(cleared.project.iterdir()) == []
