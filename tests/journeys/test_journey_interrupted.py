"""Commands after a kill, and with a damaged state folder."""

import json

import pytest
from skillpm_world import World
from tiny_models import Pair


@pytest.mark.parametrize("text", ["abc", "", "-1"])
def test_commands_report_a_damaged_state_folder(installed: World, text: str) -> None:
    state = installed.project / ".skillpm"
    (state / "current").write_text(text)
    journal = {"kind": "switch", "number": 2, "files": []}
    for content in (None, json.dumps(journal), "{}", "[", '{"kind":"graft","ready":true}'):
        if content is not None:
            (state / "journal.json").write_text(content)
        for command in ("list", "history", "install", "rollback", "graft"):
            outcome = installed.run(command, "--json")
            assert outcome.code in (1, 3), (command, outcome)
            assert outcome.error["kind"] != "internal", (command, outcome)


def _cut_off(world: World, number: int) -> None:
    """The journal of a change that was killed just before the journal was removed."""
    plain = {"kind": "switch", "number": number, "files": []}
    (world.project / ".skillpm" / "journal.json").write_text(json.dumps(plain))


def test_command_repeated_after_a_kill_reports_the_result_of_the_killed_one(
    installed: World,
) -> None:
    for command in (("uninstall", "acme/math"), ("rollback",)):
        done = installed.ask(*command)
        _cut_off(installed, done["generation"])
        assert installed.ask(*command) == {**done, "notes": []}
    assert installed.ask("history")["current"] == 3


def test_init_repeated_after_a_kill_succeeds(world: World, math: Pair) -> None:
    root = world.init(math[0])
    _cut_off(world, 0)
    assert world.init(math[0]) == root
    assert world.ask("history")["current"] == 0
