"""Help pages: a snapshot of each, and the rules for the first line of each command."""

import inspect
from collections.abc import Iterator

import click
import pytest
from output_snapshots import SNAPSHOTS, Snapshots
from skillpm_world import run_here

from skillpm.cli.app import app

WIDTH = 100
"""Columns of the terminal that the help pages are made for."""

LIMIT = 55
"""Characters of the first line of a command's help."""

VERBS = frozenset({
    "Apply", "Build", "Check", "Choose", "Compare", "Create", "Export", "Install", "List", "Manage",
    "Print", "Publish", "Remove", "Resolve", "Return", "Run", "Search", "Show", "Teach", "Undo",
    "Update", "Upgrade", "Verify", "Withdraw", "Write", "Hide", "Copy", "Give", "Let", "Migrate",
    "Revoke", "Serve",
})  # fmt: skip
"""The words that a first line may start with: verbs in the imperative."""


def pages(
    command: click.Command = app, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group with its path; the path of `skillpm` is empty."""
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from pages(child, (*path, name))


PAGES = dict(pages())


def page_name(path: tuple[str, ...]) -> str:
    """The file name of a help page, without its suffix."""
    return "-".join(("skillpm", *path))


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_help_page_equals_its_snapshot(
    path: tuple[str, ...], snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    outcome = run_here(*path, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    snapshots.check(f"help/{page_name(path)}", outcome.out)


def test_every_help_snapshot_has_a_command() -> None:
    assert {file.stem for file in (SNAPSHOTS / "help").iterdir()} == set(map(page_name, PAGES))


@pytest.mark.parametrize("path", [path for path in PAGES if path], ids=page_name)
def test_first_help_line_is_short_and_starts_with_a_verb(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = PAGES[path]
    first, _, rest = inspect.cleandoc(command.help or "").partition("\n")
    assert len(first) <= LIMIT
    assert first.endswith(".")
    assert first.split()[0].rstrip(",") in VERBS
    assert not rest or rest.startswith("\n"), "a blank line follows the first line"
    assert command.get_short_help_str(limit=LIMIT) == first
    monkeypatch.setenv("COLUMNS", "80")
    listed = run_here(*path[:-1], "--help").out
    assert any(line.split(maxsplit=1) == [path[-1], first] for line in listed.splitlines())


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_option_has_a_help_sentence(path: tuple[str, ...]) -> None:
    for parameter in PAGES[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
            assert parameter.help.endswith("."), parameter.opts
            assert parameter.help[0].isupper() or ": " in parameter.help, parameter.opts


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_argument_has_a_help_sentence(path: tuple[str, ...]) -> None:
    for parameter in PAGES[path].params:
        if isinstance(parameter, click.Argument):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_usage_line_names_every_required_option(path: tuple[str, ...]) -> None:
    usage = run_here(*path, "--help").out.partition("\n\n")[0]
    for parameter in PAGES[path].params:
        if isinstance(parameter, click.Option) and parameter.required:
            assert max(parameter.opts, key=len) in usage
