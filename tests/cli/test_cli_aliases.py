"""Command names of other package managers."""

import pytest
from skillpm_world import World, run_here

from skillpm.cli.aliases import ALIASES, SIMILAR
from skillpm.cli.app import app


@pytest.mark.parametrize("alias", ALIASES)
def test_alias_shows_the_help_page_of_its_command(alias: str) -> None:
    assert run_here(alias, "--help").out == run_here(ALIASES[alias], "--help").out


@pytest.mark.parametrize("word", [*ALIASES, *SIMILAR])
def test_no_command_has_the_name_of_an_alias(word: str) -> None:
    assert word not in app.commands


@pytest.mark.parametrize("word", SIMILAR)
def test_similar_word_is_refused_with_commands_that_exist(word: str) -> None:
    outcome = run_here(word, "anything")
    assert (outcome.code, outcome.out) == (2, "")
    named = outcome.err.partition("hint: ")[2].split("`")[1::2]
    assert named
    for command in named:
        assert command.split()[0] == "skillpm"
        assert run_here(command.split()[1], "--help").code == 0


def test_alias_runs_the_command_and_names_it_with_the_same_arguments(installed: World) -> None:
    removed = installed.run("rm", "acme/math")
    assert removed.code == 0
    assert "hint: `rm` is an alias: `skillpm uninstall acme/math`" in removed.err
    assert installed.installed() == {}


def test_alias_prints_only_a_document_on_stdout_with_json(installed: World) -> None:
    listed = installed.run("ls", "--json")
    assert [skill["skill"] for skill in listed.json["skills"]] == ["acme/math"]


def test_quiet_command_prints_no_hint_of_its_alias(installed: World) -> None:
    assert installed.run("ls", "--quiet").err == ""


def test_shell_completion_completes_after_an_alias_but_does_not_offer_it(
    installed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installed.project)
    monkeypatch.setenv("_SKILLPM_COMPLETE", "bash_complete")

    def complete(*words: str) -> str:
        monkeypatch.setenv("COMP_WORDS", " ".join(("skillpm", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        return run_here().out

    assert "acme/math" in complete("rm", "acme")
    assert "remove" not in complete("rem")


def test_control_characters_in_the_arguments_of_an_alias_are_escaped(installed: World) -> None:
    outcome = installed.run("rm", "acme/math", "-C", "\x1b[31m")
    assert "\x1b" not in outcome.err
