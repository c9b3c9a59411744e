"""Preconditions of `init`, `upgrade`, `uninstall` and `rollback`, and dry runs."""

from skillpm_world import World, snapshot
from tiny_models import Pair


def test_upgrade_requires_a_lock_and_an_installed_skill(installed: World) -> None:
    text = installed.fail("upgrade", "acme/sql", code=4, kind="not_found")
    assert "is not installed" in text
    (installed.project / "skillpm.lock").unlink()
    installed.fail("upgrade", code=1, kind="not_found")


def test_uninstall_of_an_unknown_skill_or_with_a_stale_lock_fails(installed: World) -> None:
    installed.fail("uninstall", "acme/sql", code=4, kind="not_found")
    installed.file.write_text(installed.file.read_text().replace("^1.0.0", "^2"))
    assert "skillpm install" in installed.fail("uninstall", "acme/math", code=1, kind="state")
    assert installed.ask("list")["generation"] == 1


def test_rollback_from_the_first_generation_fails(world: World, math: Pair) -> None:
    world.init(math[0])
    assert "there is no earlier one" in world.fail("rollback", code=1, kind="not_found")
    world.fail("rollback", 5, code=1, kind="not_found")


def test_init_in_a_project_is_refused_and_changes_nothing(installed: World, math: Pair) -> None:
    before = snapshot(installed.project)
    installed.fail("init", "--base", math[0], code=1, kind="state")
    assert snapshot(installed.project) == before


def test_install_dry_run_predicts_the_generation_if_only_a_requirement_changes(
    installed: World,
) -> None:
    installed.file.write_text(installed.file.read_text().replace("^1.0.0", "^1"))
    would = installed.ask("install", "--dry-run")
    done = installed.ask("install")
    assert (would["generation"], done["generation"]) == (2, 2)
    assert installed.ask("install", "--dry-run")["generation"] == 2
    installed.ask("rollback")
    assert '"acme/math" = "^1.0.0"' in installed.file.read_text()
