"""A hostile project: whatever its state holds, nothing outside it is touched (law 5)."""

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from cut_packs import CutPacks
from hostile_folders import MARK, Ground, TooSlowError, fingerprint, make_ground
from hostile_variants import Variant, variants
from inotify_watch import Witness
from skillpm_world import World

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the witness is Linux's inotify")

COMMANDS = (
    ("list",), ("install", "acme/more"), ("graft",), ("rollback",), ("gc", "--keep", "1", "-y"),
    ("audit",),
)  # fmt: skip
CODES = frozenset({0, 1, 2, 3, 4, 5})
ATTACKS = variants()
SAMPLE = 29
"""One of this number of attacks is tried in every run, with one command."""
PARTS = 20


@pytest.fixture(scope="module")
def ground(
    tmp_path_factory: pytest.TempPathFactory, models: Any, cut: CutPacks
) -> Iterator[Ground]:
    world = World(tmp_path_factory.mktemp("hostile"), cut)
    world.project.mkdir()
    made = Ground(world.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKILLPM_HOME", str(world.home))
        patch.setenv("SKILLPM_CONFIG", str(world.folder / "config.toml"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.chdir(world.project)
        made = make_ground(world, models)
        yield made
        made.clear()


@pytest.fixture
def witness(ground: Ground) -> Iterator[Witness]:
    watching = Witness(ground.outside)
    yield watching
    watching.close()


def _attack(ground: Ground, witness: Witness, attack: Variant, command: tuple[str, ...]) -> None:
    """Run one command in a project with the attack; raise if it touches a file outside."""
    ground.fresh()
    attack.prepare(ground)
    before = fingerprint(ground.elsewhere)
    witness.events()
    outcome = ground.run(*command)
    seen = witness.events()
    told = (attack.name, command, outcome)
    assert seen == [], told
    assert fingerprint(ground.elsewhere) == before, told
    assert outcome.code in CODES, told
    assert "a bug in skillpm" not in outcome.out + outcome.err, told
    assert "Traceback" not in outcome.err, told
    assert MARK not in outcome.out + outcome.err, told
    assert outcome.json["schema_version"] == 1, told


def test_attacks_are_many_and_have_unique_names() -> None:
    assert len(ATTACKS) >= 500
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


def test_witness_records_a_file_that_is_read_through_a_link(
    ground: Ground, witness: Witness, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(ground.outside / "secret.txt")
    link.lstat()
    assert witness.events() == []
    assert MARK in link.read_text()
    assert any("secret.txt opened" in event for event in witness.events())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_valid_project_works_and_touches_nothing_outside(
    ground: Ground, witness: Witness, command: tuple[str, ...]
) -> None:
    _attack(ground, witness, Variant("none", lambda _ground: None), command)
    ground.fresh()
    assert ground.run(*command).code == 0


@pytest.mark.parametrize("start", range(6))
def test_hostile_state_is_refused_or_harmless(ground: Ground, witness: Witness, start: int) -> None:
    for number in range(start * 5, len(ATTACKS), SAMPLE * 6):
        _attack(ground, witness, ATTACKS[number], COMMANDS[(number + start) % len(COMMANDS)])


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_hostile_state_touches_nothing_outside(
    ground: Ground, witness: Witness, part: int
) -> None:
    failed: list[object] = []
    for attack, command in product(ATTACKS[part::PARTS], COMMANDS):
        try:
            _attack(ground, witness, attack, command)
        except (AssertionError, TooSlowError) as problem:
            failed.append((attack.name, command, str(problem)[:2000]))
    assert failed == []
