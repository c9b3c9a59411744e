"""Cells: a row of one skill and seed, made, measured and kept; a killed run continues."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.transfer import measuring
from benchmarks.transfer.costs import write_json
from benchmarks.transfer.measuring import Measured
from benchmarks.transfer.rows import BASE, ROWS, MadeModel, cell_name

if TYPE_CHECKING:
    from benchmarks.transfer.experiment import Experiment

_MADE, _RESULT = "made.json", "result.json"


@dataclass(frozen=True)
class CellResult:
    """The figures of a cell: those of its model, and what the model can do."""

    made: MadeModel
    measured: Measured | None


def read_cell(experiment: Experiment, row: str) -> CellResult | None:
    """The result of a finished cell; None if it is not finished."""
    document = _read(_folder(experiment, row) / _RESULT)
    if document is None:
        return None
    measured = document["measured"]
    return CellResult(_made(document["made"]), Measured(**measured) if measured else None)


def finish_cell(experiment: Experiment, row: str) -> CellResult:
    """The result of a cell; what is missing is made and measured first."""
    known = read_cell(experiment, row)
    if known is not None:
        return known
    for needed in ROWS[row].needs:
        finish_cell(experiment, needed)
    folder = _folder(experiment, row)
    folder.mkdir(parents=True, exist_ok=True)
    _say(experiment, row, "begins")
    document = _read(folder / _MADE)
    made = _made(document) if document else ROWS[row].make(experiment, folder)
    write_json(folder / _MADE, _plain(made))
    measured = _measured(experiment, row, made)
    write_json(
        folder / _RESULT,
        {"made": _plain(made), "measured": asdict(measured) if measured else None},
    )
    _say(experiment, row, str(measured or made.note))
    return CellResult(made, measured)


def _measured(experiment: Experiment, row: str, made: MadeModel) -> Measured | None:
    if made.folder is None:
        return None
    if made.same_as is not None:
        return finish_cell(experiment, made.same_as).measured
    folder = _folder(experiment, row)
    if row == "source":
        return measuring.measure_source(experiment, made.folder, folder)
    return measuring.measure(experiment, made.folder, folder, _folder(experiment, BASE))


def _folder(experiment: Experiment, row: str) -> Path:
    return experiment.folder / cell_name(experiment, row)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _plain(made: MadeModel) -> dict[str, Any]:
    return {**asdict(made), "folder": str(made.folder) if made.folder else None}


def _made(document: dict[str, Any]) -> MadeModel:
    folder = document["folder"]
    return MadeModel(**{**document, "folder": Path(folder) if folder else None})


def _say(experiment: Experiment, row: str, text: str) -> None:
    clock = time.strftime("%H:%M:%S")
    name = f"{experiment.skill.name} {experiment.seed} {row}"
    print(f"{clock} {name}: {text}", file=sys.stderr, flush=True)
