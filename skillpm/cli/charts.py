"""Charts on a terminal, by rich: a table with bars. Used only where stdout is a terminal."""

import io
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from skillpm.cli.output import clean, emit_terminal, size_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from skillpm.spec.manifest import Kind
    from skillpm.spec.manifest_parts import ModuleSummary

_WIDE, _CODEC = 24, 14
"""The most columns of a bar, and of the name of a codec."""
_TEXT, _LEAST = 62, 76
"""Columns of everything but the bars, and of the narrowest terminal with bars."""


def has_room(columns: int) -> bool:
    """Whether stdout is a terminal that is wide enough for a chart."""
    return sys.stdout.isatty() and columns >= _LEAST


def show_module_chart(
    modules: "Mapping[Kind, ModuleSummary]", *, columns: int, color: bool | None
) -> None:
    """Print bytes and, if the pack is lossy, errors of each kind of module as bars.

    `columns` is the width of the terminal. A `color` of None lets the terminal decide.
    """
    lossy = any(module.relative_error for module in modules.values())
    largest = max((module.bytes for module in modules.values()), default=0) or 1
    total = sum(module.bytes for module in modules.values()) or 1
    width = min(_WIDE, (columns - _TEXT) // (2 if lossy else 1))
    head = ["module", "codec", "", "bytes", "share", *(["", "relative error"] if lossy else [])]
    rows: list[list[RenderableType]] = []
    for kind, module in modules.items():
        error = module.relative_error
        row = [clean(kind), clean(module.codec), _bar(module.bytes / largest, width, "blue")]
        row += [size_text(module.bytes), _percent(module.bytes / total)]
        if lossy:
            bar = _bar(min(1.0, error or 0.0), width, "yellow")
            row += [bar, "-" if error is None else f"{error:.4f}"]
        rows.append(row)
    emit_terminal(_table(head, rows, columns), color=color)


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.005 else f"{100 * share:.0f}%"  # noqa: PLR2004 - rounds to 0


def _bar(share: float, width: int, style: str) -> "RenderableType":
    """A bar of blocks, or of `#` where stdout cannot write blocks. A share is in [0, 1]."""
    from rich.bar import Bar
    from rich.text import Text

    if "utf" in (sys.stdout.encoding or "utf-8").lower():
        return Bar(1.0, 0.0, share, width=width, color=style)
    return Text("#" * round(share * width), style=style)


def _table(head: Iterable[str], rows: "Iterable[Iterable[RenderableType]]", columns: int) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for name in head:
        numeric = name in ("bytes", "share", "relative error")
        limit = _CODEC if name == "codec" else None
        side: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(name, justify=side, no_wrap=True, max_width=limit)
    for row in rows:
        # Text of a pack is no markup.
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=columns, legacy_windows=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
