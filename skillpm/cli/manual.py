"""Man pages of all commands. `python -m skillpm.cli.manual FOLDER` writes them.

click-man writes man pages too, but it fills the lines of examples, escapes no hyphens, and knows
neither groups in groups nor the global options that every command has.
"""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap

from skillpm.cli.described import DescribedCommand, Paragraph, described_commands
from skillpm.version import __version__

EXIT_CODES = {
    0: "done",
    1: "an error that the message explains, or a finding that the command reports",
    2: "wrong usage",
    3: "integrity: a digest, a root or a manifest is false, or `audit` has findings",
    4: "no resolution exists: unknown skill, wrong base, or a conflict",
    5: "a registry cannot be reached",
    130: "interrupted",
}
"""What each exit code means, as docs/reference/exit-codes.md explains it."""

_WIDTH = 64
"""Characters of a line of a page's source; escapes make it longer."""
_SPECIAL = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}


def man_pages(day: str) -> dict[str, str]:
    """Every man page by the name of its file, in the language of man(7). `day` is its date."""
    return {
        f"{command.title}.1": "\n".join(_page(command, day)) + "\n"
        for command in described_commands()
    }


def _escape(text: str) -> str:
    """Text for roff: no character has a special meaning, and all are ASCII."""
    characters = (_SPECIAL.get(c, c if c.isascii() else f"\\[u{ord(c):04X}]") for c in text)
    escaped = "".join(characters)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def _filled(text: str) -> Iterator[str]:
    """A paragraph in lines of at most `_WIDTH` characters, escaped."""
    yield from map(_escape, wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False))


def _page(command: DescribedCommand, day: str) -> Iterator[str]:
    yield f'.TH "{_escape(command.title.upper())}" "1" "{day}" "skillpm {__version__}"'
    yield from (".nh", ".ad l", ".SH NAME")
    yield f"{_escape(command.title)} \\- {_escape(command.summary.rstrip('.'))}"
    yield from (".SH SYNOPSIS", f".B {_escape(command.name)}")
    yield _escape(command.usage.removeprefix(command.name).strip())
    yield ".SH DESCRIPTION"
    for place, paragraph in enumerate(command.help):
        yield from _paragraph(paragraph, first=place == 0)
    for noun, rows in command.tables:
        yield f".SH {noun.upper()}S"
        yield from _rows(rows)
    if len(command.words) > 1:
        yield ".PP"
        yield f"{_escape('The global options')} of \\fBskillpm\\fR(1) apply too."
    yield ".SH EXIT STATUS"
    yield from _rows((str(code), meaning) for code, meaning in EXIT_CODES.items())
    yield ".SH SEE ALSO"
    yield ", ".join(f"\\fB{_escape(name)}\\fR(1)" for name in _related(command))


def _paragraph(paragraph: Paragraph, *, first: bool) -> Iterator[str]:
    if not paragraph.verbatim:
        yield from () if first else (".PP",)
        yield from _filled(paragraph.text)
        return
    yield from (".PP", ".nf")
    yield from (_escape(line) for line in paragraph.text.splitlines())
    yield ".fi"


def _rows(rows: "Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]") -> Iterator[str]:
    for term, description in rows:
        yield from (".TP", f".B {_escape(term)}")
        yield from _filled(description)


def _related(command: DescribedCommand) -> list[str]:
    """The pages of the group that has the command, and of the commands of a group."""
    above = ["-".join(command.words[:-1])] if len(command.words) > 1 else []
    return above + [f"{command.title}-{name}" for name, _ in command.commands]


def write_man_pages(folder: Path, day: str) -> None:
    """Write every man page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in man_pages(day).items():
        (folder / name).write_text(page, encoding="ascii")


def _today() -> str:
    """The date of a build: that of SOURCE_DATE_EPOCH if it is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return now.date().isoformat()


if __name__ == "__main__":
    write_man_pages(Path(sys.argv[1]), _today())
