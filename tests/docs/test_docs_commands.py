"""The command line accepts every command in the documentation, and links lead to files."""

import re
import shlex
from pathlib import Path

import click
import pytest

from skillpm.cli.app import app

REPOSITORY = Path(__file__).parents[2]
ELISION = "…"
PAGES = (
    "README.md", "docs/continual-learning.md", "docs/access.md", "docs/configs.md",
    "docs/security.md", "docs/verify.md", "docs/live.md", "docs/python.md",
    "docs/transfer.md", "docs/run.md", "docs/serving.md",
    "docs/registry/run.md", "docs/registry/publish-from-ci.md", "docs/registry/backup.md",
    "docs/registry/upgrade.md",
)  # fmt: skip
LINKED = (
    "README.md", *(str(page.relative_to(REPOSITORY)) for page in REPOSITORY.glob("docs/**/*.md")),
)  # fmt: skip


def commands(text: str) -> list[str]:
    """Every `skillpm …` of a page: lines of its code blocks, and code in its sentences."""
    inline = re.findall(r"(?<!`)`(skillpm [^`\n]+)`", text)
    fences = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for fence in fences for line in fence.replace("\\\n", " ").splitlines()]
    typed = [line.strip().removeprefix("$ ") for line in lines]
    found = [line for line in typed if line.startswith("skillpm ")] + inline
    return [line for line in found if "COMMAND" not in line]


def parse(line: str) -> click.Command:
    """Parse the command of a line, with options and arguments; files need not exist."""
    words = shlex.split(re.split(r" [>|&]|;", line)[0], comments=True)[1:]
    found: click.Command = app
    context = click.Context(app, info_name="skillpm")
    while isinstance(found, click.Group) and words:
        _, words, _ = found.make_parser(context).parse_args(args=words)
        if not words:
            break
        name, inner, words = found.resolve_command(context, words)
        assert inner is not None
        context = click.Context(inner, parent=context, info_name=name)
        found = inner
    if not isinstance(found, click.Group):
        values, rest, _ = found.make_parser(context).parse_args(args=words)
        for parameter in found.params:
            needed = isinstance(parameter, click.Argument) and parameter.required
            if needed and ELISION not in line:
                given = values[parameter.name]
                assert isinstance(given, str | tuple), line
                assert given, line
        assert not rest
    return found


@pytest.mark.parametrize("page", PAGES)
def test_command_line_accepts_every_command_of_a_page(page: str) -> None:
    lines = commands((REPOSITORY / page).read_text(encoding="utf-8"))
    assert lines
    for line in lines:
        parse(line)


@pytest.mark.parametrize("line", [
    "skillpm instal acme/math", "skillpm install --gard acme/math", "skillpm uninstall",
    "skillpm registry nonsense", "skillpm list too much",
])  # fmt: skip
def test_command_that_does_not_exist_is_detected(line: str) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        parse(line)


def test_links_between_pages_lead_to_files() -> None:
    for page in LINKED:
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (REPOSITORY / page).parent.joinpath(target).exists(), target
