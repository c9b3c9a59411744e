"""Table 1: transfer and compression, one table a skill, from the cells that are finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.tools.table import Table
from benchmarks.transfer.cells import read_cell
from benchmarks.transfer.rows import BASE, ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.transfer.experiment import Experiment

NOT_YET, NOTHING = "not yet", "–"
HEADINGS = ("items right", "general kept", "prose loss", "file bytes", "steps", "CPU s", "note")


def table_of(experiments: Sequence[Experiment], rows: Sequence[str]) -> Table:
    """All rows of the given skills and seeds; a cell that is not finished says so."""
    first = experiments[0]
    title = (
        f"Table 1, base {first.base.name}: {first.sizes.items} items, "
        f"{first.sizes.general} general questions"
    )
    found = Table(title, ("skill, seed", "row", *HEADINGS))
    for experiment in experiments:
        for row in rows:
            name = f"{experiment.skill.name}, {experiment.seed}"
            found.row(name, ROWS[row].title, *_cells(experiment, row))
    return found


def _cells(experiment: Experiment, row: str) -> tuple[str, ...]:
    result = read_cell(experiment, row)
    if result is None:
        return (NOT_YET, *[NOTHING] * (len(HEADINGS) - 1))
    made, measured = result.made, result.measured
    return (
        NOTHING if measured is None else str(measured.items),
        _shown(measured and measured.general),
        _prose(experiment, None if measured is None else measured.prose),
        NOTHING if made.bytes is None else f"{made.bytes:,}",
        _shown(made.steps),
        NOTHING if made.seconds is None else f"{made.seconds:.0f}",
        made.note or NOTHING,
    )


def _shown(value: object) -> str:
    return NOTHING if value is None else str(value)


def _prose(experiment: Experiment, prose: float | None) -> str:
    """The loss in nats per token, and its difference to the base's."""
    if prose is None:
        return NOTHING
    base = read_cell(experiment, BASE)
    if base is None or base.measured is None or base.measured.prose is None:
        return f"{prose:.3f}"
    return f"{prose:.3f} ({prose - base.measured.prose:+.3f})"
