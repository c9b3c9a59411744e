"""Law 4: kill -9 at any point, inspect, repeat: nothing is broken, and the command completes."""

import click
import pytest
from crash_case import Killer, Scene
from crash_checks import check_clean
from crash_comparison import Judge
from crash_scenes import COMMANDS, NAMES
from skillpm_world import REPOSITORY
from thoroughness import is_thorough, stride

from skillpm.cli.app import app

SAMPLED = 3 if is_thorough() else 2
ENOUGH = 99 if is_thorough() else 3
"""Kills that leave a journal, after which a person edits the project."""
READING = frozenset(
    {"audit", "cache info", "cache path", "completion", "config get", "config show", "diff",
     "doctor", "history", "identify", "inspect", "list", "outdated", "probe",
     "registry advisory list", "resolve", "registry namespace list",
     "registry token list", "route", "run", "search", "show", "tree", "verify",
     "whoami", "why"}
)  # fmt: skip
KILLED_ELSEWHERE = {
    "transfer": "tests/transfer/test_transfer_kills.py",
    "login": "tests/service/test_service_kills.py",
    "logout": "tests/service/test_service_kills.py",
    "registry serve": "tests/service/test_service_process.py",
}
"""Commands that train, or that need a server, and the tests that kill them."""
ONE_TRANSACTION = frozenset(
    {
        f"registry namespace {verb}"
        for verb in ("create", "distrust", "grant", "revoke", "set", "trust")
    }
    | {f"registry token {verb}" for verb in ("create", "revoke")}
)
"""Commands that write nothing but one transaction of a database, here or on a server."""
KILLED_AS_FUNCTIONS = {
    "registry migrate": "tests/registry/test_registry_upgrade.py",
    "registry sweep": "tests/registry/test_registry_crash.py",
    "registry upgrade": "tests/registry/test_registry_upgrade.py",
}
"""Commands of a server, whose functions these tests cut off."""


def _words(command: click.Command, *before: str) -> set[str]:
    """Every command below, as on a command line."""
    if not isinstance(command, click.Group):
        return {" ".join(before)}
    below = [_words(one, *before, name) for name, one in command.commands.items()]
    return set().union(*below)


def test_every_writing_command_has_a_crash_scene() -> None:
    killed = [f"{words} " for _, words in COMMANDS.values()]
    elsewhere = {**KILLED_ELSEWHERE, **KILLED_AS_FUNCTIONS}
    assert all((REPOSITORY / path).is_file() for path in elsewhere.values())
    writing = _words(app) - READING - elsewhere.keys() - ONE_TRANSACTION
    assert not {one for one in writing if not any(words.startswith(f"{one} ") for words in killed)}


@pytest.mark.parametrize("name", NAMES)
def test_kill_leaves_the_old_or_the_new_state_and_a_repeat_completes(
    killer: Killer, scenes: dict[str, Scene], name: str
) -> None:
    judge = Judge.of(killer, scenes[name])
    count = judge.points()
    assert count > 20
    points = range(1 + len(name), count + 1, max(1, count // SAMPLED))
    # A run may end before the last points: leaves that an earlier run cached save some calls.
    killed = [judge.killed_at(point, other=bool(turn % 2)) for turn, point in enumerate(points)]
    assert sum(killed) > len(killed) // 2


@pytest.mark.parametrize("name", ["install", "uninstall", "rollback"])
def test_project_file_edited_after_a_kill_is_not_overwritten(
    killer: Killer, scenes: dict[str, Scene], name: str
) -> None:
    scene = scenes[name]
    seen = missed = 0
    # Threads make the number of points vary, so a later point may be before the journal is written.
    for point in range(Judge.of(killer, scene).points(), 0, -stride(13, thorough=9)):
        if (seen and missed > 2) or seen == ENOUGH:
            break
        case = scene.fresh()
        if not killer.kill(case, scene.command, point, None):
            continue
        if not (case / "project" / ".skillpm" / "journal.json").exists():
            missed += 1
            continue
        seen, missed = seen + 1, 0
        file = case / "project" / "skillpm.toml"
        edited = f"# a person was here\n{file.read_text()}"
        file.write_text(edited)
        killer.ask(case, "lock")
        assert file.read_text() == edited
        check_clean(case)
    assert seen > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_kill_at_every_point_breaks_nothing(
    killer: Killer, scenes: dict[str, Scene], name: str
) -> None:
    judge = Judge.of(killer, scenes[name])
    point = 1
    while judge.killed_at(point, other=bool(point % 2)):
        point += 1
    assert point > 20
