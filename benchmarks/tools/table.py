"""Figures as Markdown tables that are also readable in a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


@dataclass
class Table:
    """Rows under headings; the first column is text, all others are figures."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def row(self, *cells: object) -> None:
        """Add a row."""
        self.rows.append(tuple(str(cell) for cell in cells))

    def markdown(self) -> str:
        """The table, aligned."""
        lines = [self.headings, *self.rows]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.headings))]
        rule = [f"{'-' * widths[0]}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]
        body = [self._line(self.headings, widths), f"| {' | '.join(rule)} |"]
        body += [self._line(row, widths) for row in self.rows]
        return "\n".join([f"**{self.title}**", "", *body, ""])

    @staticmethod
    def _line(cells: tuple[str, ...], widths: list[int]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join([first, *rest])} |"


def add_output(parser: argparse.ArgumentParser) -> None:
    """The option that all benchmarks share."""
    parser.add_argument("--append", metavar="FILE", help="also append the tables to this file")


def publish(table: Table, append: Path | str | None) -> None:
    """Print a table, and append it to a file if one is given."""
    print(table.markdown(), flush=True)
    if append is not None:
        with open(append, "a", encoding="utf-8") as file:  # noqa: PTH123 - a path from argparse
            file.write(table.markdown() + "\n")


def megabytes(count: float) -> str:
    """Bytes as MB, powers of 1000."""
    return f"{count / 1e6:,.1f} MB"
