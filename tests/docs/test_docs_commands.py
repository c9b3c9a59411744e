"""The command line accepts every command in the documentation, also in sentences and tables."""

import re
import shlex
from pathlib import Path

import click
import pytest

from skillpm.cli.app import app

REPOSITORY = Path(__file__).parents[2]
ELISION = "…"
PAGES = (
    "README.md",
    *(
        str(page.relative_to(REPOSITORY))
        for page in sorted(REPOSITORY.glob("docs/**/*.md"))
        if page.parent.name != "adr"
    ),
)


def mentions(text: str) -> list[str]:
    """Every `skillpm …` in the sentences and tables of a page."""
    found = re.findall(r"(?<!`)`(skillpm [^`\n]+)`", text)
    return [line for line in found if "COMMAND" not in line]


def commands(text: str) -> list[str]:
    """Every `skillpm …` in the code blocks of a page."""
    fences = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for fence in fences for line in fence.replace("\\\n", " ").splitlines()]
    typed = [line.strip().removeprefix("$ ") for line in lines]
    return [line for line in typed if line.startswith("skillpm ") and "COMMAND" not in line]


def parse(line: str, *, whole: bool = True) -> click.Command:
    """Parse the command of a line, with options and arguments; files need not exist.

    A line that is not `whole` may lack required arguments, and the value of its last option.
    """
    words = shlex.split(re.split(r" [>|&]|;", line)[0], comments=True)[1:]
    found: click.Command = app
    context = click.Context(app, info_name="skillpm", **app.context_settings)
    while isinstance(found, click.Group) and words:
        _, words, _ = found.make_parser(context).parse_args(args=words)
        if not words:
            break
        name, inner, words = found.resolve_command(context, words)
        assert inner is not None
        context = click.Context(inner, parent=context, info_name=name)
        found = inner
    if not isinstance(found, click.Group):
        try:
            values, rest, _ = found.make_parser(context).parse_args(args=words)
        except click.BadOptionUsage:
            if whole:
                raise
            return found
        for parameter in found.params:
            needed = isinstance(parameter, click.Argument) and parameter.required
            if needed and whole and ELISION not in line:
                given = values[parameter.name]
                assert isinstance(given, str | tuple), line
                assert given, line
        assert not rest
    return found


@pytest.mark.parametrize("page", PAGES)
def test_command_line_accepts_every_command_of_a_page(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for line in commands(text):
        parse(line)
    for line in mentions(text):
        parse(line, whole=False)


@pytest.mark.parametrize("line", ["skillpm pack --prob", "skillpm nonsense", "skillpm list much"])
def test_mention_of_what_does_not_exist_is_detected(line: str) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        parse(line, whole=False)


@pytest.mark.parametrize("line", [
    "skillpm instal acme/math", "skillpm install --gard acme/math", "skillpm uninstall",
    "skillpm registry nonsense", "skillpm list too much",
])  # fmt: skip
def test_command_that_does_not_exist_is_detected(line: str) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        parse(line)
