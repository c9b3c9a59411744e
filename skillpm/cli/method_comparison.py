"""`graft --compare`: the probes of the installed skills with each way to graft them."""

from typing import TYPE_CHECKING

import click

from skillpm.cli.graft_documents import ComparedDocument, ComparisonDocument, MergeDocument
from skillpm.cli.graft_settings import GraftFlags, settings_of
from skillpm.cli.output import clean, emit_json, emit_line, emit_table
from skillpm.cli.probing import probe_document
from skillpm.cli.state import State, command_project
from skillpm.spec.words import distinct

if TYPE_CHECKING:
    from skillpm.api.results import ComparedGraft, Comparison
    from skillpm.spec.names import SkillName

COMPARE = click.option(
    "--compare",
    is_flag=True,
    help="Compare all methods and routed on the probes instead of grafting.",
)
_LOWEST = -9.99
"""Shares below this are shown as a bound."""


def compare_grafts(
    state: State, only: "tuple[SkillName, ...]", flags: GraftFlags, device: str
) -> None:
    """Run the comparison and print it. Writes no graft."""
    comparison = command_project(state).compare_methods(
        only=only,
        mode=flags["mode"],
        methods=flags["methods"],
        settings=settings_of(flags),
        weights=flags["weights"],
        device=device,
    )
    if state.json:
        emit_json(_document(comparison))
    else:
        _show(state, comparison)


def _show(state: State, comparison: "Comparison") -> None:
    probes = [(result.skill, result.metric) for result in comparison.rows[0].results]
    columns = [_column(comparison, place) for place in range(len(probes))]
    best = comparison.best
    rows = [
        (row.name, *(column[at] for column in columns), *_shares(row), _mark(row, best))
        for at, row in enumerate(comparison.rows)
    ]
    head = [f"{skill} {metric}" for skill, metric in probes]
    emit_table(rows, ("graft", *head, "worst kept", "mean kept", ""))
    for note in comparison.notes:
        state.say(f"note: {note}")
    for row in comparison.rows:
        if row.problem:
            state.say(f"{row.name}: {row.problem}")
    if comparison.without:
        state.say(f"without probes: {clean(', '.join(map(str, comparison.without)))}")
    _show_best(comparison)


def _column(comparison: "Comparison", place: int) -> list[str]:
    """The values of one metric in every row, with enough digits to tell them apart."""
    values = [row.results[place].now for row in comparison.rows if row.results]
    texts = iter(distinct(*values))
    return [next(texts) if row.results else "-" for row in comparison.rows]


def _shares(row: "ComparedGraft") -> tuple[str, str]:
    if row.kept is None:
        return "-", "-"
    worst, mean = (f"{share:.0%}" if share > _LOWEST else f"< {_LOWEST:.0%}" for share in row.kept)
    return worst, mean


def _mark(row: "ComparedGraft", best: "ComparedGraft | None") -> str:
    marks = ["best"] if row is best else []
    return ", ".join([*marks, *(["installed"] if row.is_current else [])])


def _show_best(comparison: "Comparison") -> None:
    """Print the best way to graft, and the best one model if that is another."""
    best, merged = comparison.best, comparison.best_merged
    emit_line()
    if best is None:
        emit_line("the set cannot be grafted in any of these ways")
        return
    emit_line(f"best: {best.name}; {_command(best)}")
    if merged is not None and merged is not best:
        emit_line(f"best as one model: {merged.name}; {_command(merged)}")


def _command(row: "ComparedGraft") -> str:
    if not row.keep:
        return "it is what is installed"
    return f"`{' && '.join(row.keep)}` keeps it"


def _document(comparison: "Comparison") -> ComparisonDocument:
    best, merged = comparison.best, comparison.best_merged
    return {
        "generation": comparison.generation,
        "rows": [_row_document(row) for row in comparison.rows],
        "best": best.name if best else None,
        "best_merged": merged.name if merged else None,
        "without": list(map(str, comparison.without)),
        "notes": list(comparison.notes),
    }


def _row_document(row: "ComparedGraft") -> ComparedDocument:
    graft: MergeDocument | None = None
    if row.graft is not None:
        settings = dict(row.graft.settings)
        graft = {"mode": row.graft.mode, "method": row.graft.method, "settings": settings}
    return {
        "name": row.name,
        "graft": graft,
        "current": row.is_current,
        "results": [probe_document(result) for result in row.results],
        "kept": {"worst": row.kept[0], "mean": row.kept[1]} if row.kept else None,
        "seconds": round(row.seconds, 3),
        "error": row.problem,
        "keep": list(row.keep),
    }
