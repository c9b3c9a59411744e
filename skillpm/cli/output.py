"""Printing: JSON documents, tables and errors. Control characters in text are escaped."""

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

import click

from skillpm.errors import SkillpmError, UsageError
from skillpm.spec.location import redact_urls
from skillpm.spec.words import size_text as size_text  # noqa: PLC0414 - shared with pictures

if TYPE_CHECKING:
    from skillpm.api.values import ReleaseReference
    from skillpm.cli.documents import SkillDocument
    from skillpm.environment.generation import Entry

SCHEMA_VERSION = 1


def clean(text: object) -> str:
    r"""The text with every unprintable character replaced by an escape such as `\x1b`."""
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return "".join(escaped)


def clean_lines(text: str) -> str:
    """Clean each line; line ends stay."""
    return "\n".join(map(clean, text.split("\n")))


def emit_line(text: str = "", *, err: bool = False) -> None:
    """Print one line. Unprintable characters and line ends in the text are escaped.

    Only this module writes to stdout and stderr, so that no text from a pack or a registry reaches
    the terminal unescaped.
    """
    _write(clean(text), err=err)


def emit_lines(text: str, *, err: bool = False) -> None:
    """Print text of several lines that skillpm wrote; each line is escaped."""
    _write(clean_lines(text), err=err)


_JOINERS = "\u200c\u200d"
"""Format characters that scripts and emoji need. Others, such as directional marks, are escaped."""


def clean_answer(text: str) -> str:
    r"""A model's text, escaped as by `clean`; line ends, tabs and every kind of space stay."""
    kept = "\n\t" + _JOINERS
    escaped = (
        c
        if c in kept or c.isprintable() or unicodedata.category(c) == "Zs"
        else c.encode("unicode_escape").decode()
        for c in text
    )
    return "".join(escaped)


def emit_part(text: str) -> None:
    """Print a part of a model's answer at once, without a line end."""
    _write(clean_answer(text), end=False)


def ask_line(prompt: str) -> str:
    """Ask for one line on the terminal, with line editing if Python has `readline`.

    Raises `EOFError` at Ctrl-D, `UsageError` for a line that is not UTF-8.
    """
    sys.stderr.flush()
    try:
        return input(clean(prompt))
    except UnicodeDecodeError as problem:
        raise UsageError("the line is not UTF-8", hint="paste the text as UTF-8") from problem


def emit_script(text: str) -> None:
    """Print a shell script; line ends and tabs stay."""
    _write("\n".join("\t".join(map(clean, row.split("\t"))) for row in text.split("\n")))


def emit_terminal(text: str, *, color: bool | None) -> None:
    """Print text with the escape sequences of colours; its author escaped all untrusted parts."""
    _write(text, color=color)


def _write(text: str, *, err: bool = False, color: bool | None = None, end: bool = True) -> None:
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    printable = text.encode(encoding, "backslashreplace").decode(encoding)
    click.echo(printable, err=err, color=color, nl=end)


def emit_json(document: Mapping[str, object]) -> None:
    """Print one JSON document on stdout. NaN and infinities are null."""
    emit_document({"schema_version": SCHEMA_VERSION, **document}, pretty=False)


def emit_document(document: Mapping[str, object], *, pretty: bool) -> None:
    """Print a document without adding `schema_version`. NaN and infinities are null.

    `json.dumps` escapes every control character but DEL, so DEL is escaped here.
    """
    indent = 2 if pretty else None
    text = json.dumps(_finite(document), allow_nan=False, indent=indent, sort_keys=pretty)
    _write(text.replace("\x7f", "\\u007f"))


def _finite(value: object) -> object:
    """A copy of a JSON value with null in place of NaN and infinities."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def emit_table(rows: Iterable[Sequence[object]], head: Sequence[str]) -> None:
    """Print rows in aligned columns under a head. Columns of numbers are right-aligned."""
    table = [tuple(head), *(tuple(clean(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    numeric = [_all_numbers(row[column] for row in table[1:]) for column in range(len(head))]
    for row in table:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        emit_line("  ".join(cells).rstrip())


def _all_numbers(cells: Iterable[str]) -> bool:
    return all(cell[:1].isdigit() or cell in ("", "-") for cell in cells)


def verified_text(verified: bool) -> str:  # noqa: FBT001 - the value of a table cell
    """The table cell for whether a pack was verified on its base with this `SKILLPM_HOME`."""
    return "yes" if verified else "no"


def skill_document(entry: "Entry | ReleaseReference") -> "SkillDocument":
    """A release as JSON documents list it."""
    return {
        "skill": str(entry.skill),
        "version": str(entry.version),
        "digest": str(entry.digest),
    }


def say(text: str) -> None:
    """Print a note on stderr; passwords in URLs are removed."""
    _write(_indented(redact_urls(text)), err=True)


def can_ask() -> bool:
    """Whether a question can be asked: stdin and stderr are terminals."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Ask a question on the terminal; False without a terminal."""
    return can_ask() and click.confirm(clean_lines(question), default=False, err=True)


def prompt_secret(question: str) -> str:
    """Ask for a secret on the terminal, without showing what is typed."""
    answer: str = click.prompt(clean(question), hide_input=True, err=True)
    return answer


def report(problem: SkillpmError, *, as_json: bool, color: bool | None) -> None:
    """Print an error: as a JSON document on stdout, or as `error:` and `hint:` on stderr."""
    message, hint = redact_urls(problem.message), redact_urls(problem.hint or "") or None
    if as_json:
        emit_json({"error": {"kind": problem.kind, "message": message, "hint": hint}})
        return
    sys.stdout.flush()
    head = click.style("error:", fg="red", bold=True)
    _write(f"{head} {_indented(message)}", err=True, color=color)
    if hint:
        head = click.style("hint:", fg="cyan", bold=True)
        _write(f"\n{head} {_indented(hint)}", err=True, color=color)


def _indented(text: str) -> str:
    """Clean the text and indent all lines but the first, so that none can imitate `error:`."""
    first, *rest = text.split("\n")
    return "\n".join([clean(first), *(f"  {clean(line.removeprefix('  '))}" for line in rest)])
