"""What people and programs read: documents, tables, errors; text from packs made harmless."""

import json
import sys
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

import click

from skillpm.errors import SkillpmError

SCHEMA_VERSION = 1


def clean(text: object) -> str:
    """Text with every character that does not print shown as an escape."""
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return "".join(shown)


def clean_lines(text: str) -> str:
    """As `clean`, line by line."""
    return "\n".join(map(clean, text.split("\n")))


def emit_json(document: dict[str, Any]) -> None:
    """Print one JSON document on stdout; a number that JSON has no word for is null."""
    click.echo(json.dumps(_spoken({"schema_version": SCHEMA_VERSION, **document}), allow_nan=False))


def _spoken(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _spoken(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_spoken(value) for value in plain]
    return None if isinstance(plain, float) and not isfinite(plain) else plain


def emit_table(rows: Iterable[Sequence[object]], head: Sequence[str]) -> None:
    """Print rows in aligned columns under a head; numbers to the right."""
    lines = [tuple(head), *(tuple(clean(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    numeric = [_all_numbers(line[column] for line in lines[1:]) for column in range(len(head))]
    for line in lines:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def _all_numbers(cells: Iterable[str]) -> bool:
    return all(cell[:1].isdigit() or cell in ("", "-") for cell in cells)


def size_text(count: float) -> str:
    """Bytes as people read them, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":  # noqa: PLR2004 - the power of the unit
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def error_text(relative: float | None) -> str:
    """A relative error as people read it."""
    return "exact" if not relative else f"relative error {relative:.3g}"


def say(text: str) -> None:
    """A note for people, on stderr."""
    click.echo(clean_lines(text), err=True)


def confirm(question: str) -> bool:
    """Ask a person on the terminal; False where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm(clean_lines(question), default=False, err=True)


def report(problem: SkillpmError, *, as_json: bool, color: bool | None) -> None:
    """Show an error: as a document on stdout, or as sentences on stderr."""
    if as_json:
        facts = {"kind": problem.kind, "message": problem.message, "hint": problem.hint}
        emit_json({"error": facts})
        return
    sys.stdout.flush()
    head = click.style("error:", fg="red", bold=True)
    click.echo(f"{head} {clean_lines(problem.message)}", err=True, color=color)
    if problem.hint:
        head = click.style("hint:", fg="cyan", bold=True)
        click.echo(f"\n{head} {clean_lines(problem.hint)}", err=True, color=color)
