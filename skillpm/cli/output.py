"""What people and programs read: documents, tables, errors; text from packs made harmless."""

import json
import sys
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import click

from skillpm.errors import SkillpmError
from skillpm.spec.location import redact_urls

if TYPE_CHECKING:
    from skillpm.spec.manifest_parts import Compression

SCHEMA_VERSION = 1


def clean(text: object) -> str:
    """Text with every character that does not print shown as an escape."""
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return "".join(shown)


def clean_lines(text: str) -> str:
    """As `clean`, line by line."""
    return "\n".join(map(clean, text.split("\n")))


def emit_line(text: str = "", *, err: bool = False) -> None:
    """Print one line; what does not print, line ends within it too, is shown as an escape.

    This module is the one place that writes to stdout and stderr, so that no text of a stranger
    reaches a terminal raw.
    """
    _write(clean(text), err=err)


def emit_lines(text: str, *, err: bool = False) -> None:
    """Print text that skillpm wrote over several lines, each as `emit_line` does."""
    _write(clean_lines(text), err=err)


def emit_script(text: str) -> None:
    """Print a script for a shell as it is: line ends and tabs stay."""
    _write("\n".join("\t".join(map(clean, row.split("\t"))) for row in text.split("\n")))


def _write(text: str, *, err: bool = False, color: bool | None = None) -> None:
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = text.encode(encoding, "backslashreplace").decode(encoding)
    click.echo(shown, err=err, color=color)


def emit_json(document: dict[str, Any]) -> None:
    """Print one JSON document on stdout; a number that JSON has no word for is null."""
    emit_document({"schema_version": SCHEMA_VERSION, **document}, pretty=False)


def emit_document(document: dict[str, Any], *, pretty: bool) -> None:
    """Print a document of another format; JSON escapes all but DEL, which a terminal obeys."""
    layout: dict[str, Any] = {"indent": 2, "sort_keys": True} if pretty else {}
    text = json.dumps(_spoken(document), allow_nan=False, **layout)
    _write(text.replace("\x7f", "\\u007f"))


def _spoken(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _spoken(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_spoken(value) for value in plain]
    return None if isinstance(plain, float) and not isfinite(plain) else plain


def emit_table(rows: Iterable[Sequence[object]], head: Sequence[str]) -> None:
    """Print rows in aligned columns under a head; numbers to the right."""
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


def size_text(count: float) -> str:
    """Bytes as people read them, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":  # noqa: PLR2004 - the power of the unit
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def compression_text(compression: "Compression", *, size: int) -> str:
    """The sizes of a pack: its payload and what that encodes, whose ratio is named, and its file.

    The file has the manifest, the card, the probes and the side files beside the payload.
    """
    return (
        f"payload {size_text(compression.payload_bytes)} for a delta of "
        f"{size_text(compression.delta_bytes)} ({compression.ratio:.2f} to 1, "
        f"{compression.scheme}); file {size_text(size)}"
    )


def error_text(relative: float | None) -> str:
    """A relative error as people read it."""
    return "exact" if not relative else f"relative error {relative:.3g}"


def verified_text(verified: bool) -> str:  # noqa: FBT001 - one fact, as a table shows it
    """Whether this home verified a pack on its base; else its figures are its author's."""
    return "yes" if verified else "never here"


def say(text: str) -> None:
    """A note for people, on stderr."""
    _write(_indented(redact_urls(text)), err=True)


def can_ask() -> bool:
    """Whether a person can be asked: both ends of the conversation are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Ask a person on the terminal; False where there is none."""
    return can_ask() and click.confirm(clean_lines(question), default=False, err=True)


def report(problem: SkillpmError, *, as_json: bool, color: bool | None) -> None:
    """Show an error: as a document on stdout, or as sentences on stderr."""
    message, hint = redact_urls(problem.message), redact_urls(problem.hint or "") or None
    if as_json:
        facts = {"kind": problem.kind, "message": message, "hint": hint}
        emit_json({"error": facts})
        return
    sys.stdout.flush()
    head = click.style("error:", fg="red", bold=True)
    _write(f"{head} {_indented(message)}", err=True, color=color)
    if hint:
        head = click.style("hint:", fg="cyan", bold=True)
        _write(f"\n{head} {_indented(hint)}", err=True, color=color)


def _indented(text: str) -> str:
    """Clean text whose further lines are indented: none can pass for a message of skillpm."""
    first, *rest = text.split("\n")
    return "\n".join([clean(first), *(f"  {clean(each.removeprefix('  '))}" for each in rest)])
