"""A clone: project file and lock, without an environment."""

import pytest
from skillpm_world import World, root_of, snapshot
from tiny_models import Models, Pair

FILES = ("skillpm.toml", "skillpm.lock")


@pytest.fixture
def pair(models: Models) -> Pair:
    return models.tuned("mlp")


@pytest.fixture
def clone(world: World, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> World:
    """A folder with only the committed files of a project with one skill."""
    world.init(pair[0])
    world.publish(pair, "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    texts = {name: (world.project / name).read_bytes() for name in FILES}
    world.project.rename(world.folder / "origin")
    world.project.mkdir()
    for name, text in texts.items():
        (world.project / name).write_bytes(text)
    monkeypatch.chdir(world.project)
    return world


def _numbers(world: World) -> list[int]:
    return [one["number"] for one in world.ask("history")["generations"]]


@pytest.mark.parametrize("more", [(), ("--frozen", "--offline")], ids=["plain", "frozen"])
def test_install_in_a_clone_makes_generations_zero_and_one(
    clone: World, pair: Pair, more: tuple[str, ...]
) -> None:
    before = {name: (clone.project / name).read_bytes() for name in FILES}

    done = clone.ask("install", *more)

    assert (done["generation"], len(done["added"]), done["notes"]) == (1, 1, [])
    assert _numbers(clone) == [0, 1]
    assert {name: (clone.project / name).read_bytes() for name in FILES} == before
    assert clone.graft_root() == root_of(pair[1])
    assert clone.ask("rollback")["generation"] == 2
    assert _numbers(clone) == [0, 1, 2]
    assert clone.graft_root() == root_of(pair[0])
    assert clone.ask("rollback")["generation"] == 3
    assert clone.installed() == {"acme/math": "1.0.0"}


def test_read_only_commands_in_a_clone_write_nothing(clone: World) -> None:
    before = snapshot(clone.project)
    listing = clone.ask("list")
    assert (listing["generation"], listing["skills"]) == (0, [])
    assert any("skillpm install" in note for note in listing["notes"])
    assert _numbers(clone) == [0]
    assert clone.ask("history")["current"] == 0
    assert clone.ask("diff", 0, 0)["added"] == []
    done = clone.ask("install", "--dry-run")
    assert (done["generation"], done["dry_run"], len(done["added"])) == (1, True, 1)
    assert clone.ask("lock", "--check")["fresh"]
    clone.ask("audit", "--fail-on", "critical")
    clone.fail("diff", 0, 1, code=1, kind="not_found")
    assert snapshot(clone.project) == before


def test_graft_and_rollback_in_a_clone_ask_for_an_install(clone: World) -> None:
    assert "skillpm install" in clone.fail("graft", code=1, kind="not_found")
    clone.fail("rollback", code=1, kind="not_found")
    assert not (clone.project / "graft").exists()
    assert clone.ask("install")["generation"] == 1


def test_init_in_a_clone_keeps_the_requirements_and_refuses_another_base(
    clone: World, models: Models, pair: Pair
) -> None:
    before = {name: (clone.project / name).read_bytes() for name in FILES}
    text = clone.fail("init", "--base", models.pair("tied")[0], code=3, kind="integrity")
    assert "project's base" in text

    clone.init(pair[0])

    assert {name: (clone.project / name).read_bytes() for name in FILES} == before
    assert _numbers(clone) == [0]
    clone.fail("init", "--base", pair[0], code=1, kind="state")
    assert clone.ask("install")["generation"] == 1
    assert clone.graft_root() == root_of(pair[1])


def test_uninstall_in_a_clone_numbers_generations_from_zero(clone: World, pair: Pair) -> None:
    done = clone.ask("uninstall", "acme/math")
    assert _numbers(clone) == list(range(done["generation"] + 1))
    assert "acme/math" not in clone.lock
    assert clone.graft_root() == root_of(pair[0])


def test_install_in_a_clone_of_an_empty_environment_keeps_generation_zero(
    clone: World, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = clone.folder / "origin"
    clone.ask("-C", origin, "uninstall", "acme/math")
    for name in FILES:
        (clone.project / name).write_bytes((origin / name).read_bytes())
    done = clone.ask("install")
    assert (done["generation"], done["added"]) == (0, [])
    assert clone.graft_root() == root_of(pair[0])


def test_install_in_a_clone_without_a_lock_writes_the_same_lock(clone: World) -> None:
    lock = clone.lock
    (clone.project / "skillpm.lock").unlink()
    clone.fail("install", "--frozen", code=1, kind="state")
    assert "re-locked" in clone.ask("install")["notes"][0]
    assert clone.lock == lock
