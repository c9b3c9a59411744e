"""Law 4: kill -9 at any point, look, repeat: nothing is broken, and the work gets done."""

from collections.abc import Iterator

import pytest
from crash_case import Judge, Killer, Scene, fresh, strays
from crash_scenes import NAMES, make_scenes
from tiny_models import Models

SAMPLED = 5


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    found = Killer()
    yield found
    found.close()


@pytest.fixture(scope="module")
def scenes(
    killer: Killer, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Scene]:
    base, math = models.tuned("mlp")
    _, sql = models.tuned("attn", seed=2)
    folder = tmp_path_factory.mktemp("scenes")
    return make_scenes(killer, folder, {"base": base, "math": math, "sql": sql})


@pytest.mark.parametrize("name", NAMES)
def test_a_kill_leaves_the_old_or_the_new_and_a_repeat_completes_it(
    killer: Killer, scenes: dict[str, Scene], name: str
) -> None:
    scene = scenes[name]
    judge = Judge.of(killer, scene, scene.template.parent / f"case-{name}")
    count = judge.points()
    assert count > 20 * (name != "lock")
    points = range(1, count + 1, max(1, count // SAMPLED))
    # A run may end before the last points: leaves that an earlier one cached spare it some calls.
    killed = [judge.killed_at(point) for point in points]
    assert sum(killed) > len(killed) // 2


@pytest.mark.parametrize("name", ["install", "uninstall", "rollback"])
def test_a_project_file_that_was_edited_after_a_kill_is_not_overwritten(
    killer: Killer, scenes: dict[str, Scene], name: str
) -> None:
    scene = scenes[name]
    folder = scene.template.parent / f"case-{name}"
    judge = Judge.of(killer, scene, folder)
    count, seen = judge.points(), 0
    for point in range(count, 0, -9):
        case = fresh(scene, folder)
        if killer.run(case, *scene.command, kill=point) is not None:
            continue
        if not (case / "project" / ".skillpm" / "journal.json").exists():
            if seen:
                break
            continue
        seen += 1
        file = case / "project" / "skillpm.toml"
        edited = f"# a person was here\n{file.read_text()}"
        file.write_text(edited)
        killer.ask(case, "lock")
        assert file.read_text() == edited
        assert strays(case) == []
    assert seen > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_kill_at_every_single_point_breaks_nothing(
    killer: Killer, scenes: dict[str, Scene], name: str
) -> None:
    scene = scenes[name]
    judge = Judge.of(killer, scene, scene.template.parent / f"case-{name}")
    point = 1
    while judge.killed_at(point):
        point += 1
    assert point > 20
