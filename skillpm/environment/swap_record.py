"""The record of a swap in progress, from which an interrupted swap is recovered.

The swap of a graft inside the project is recorded in the project's journal, that of a graft outside
in the home. The journal of an untrusted project may be forged, so it never names a place outside
the project. Only the user writes to the home (ADR 19).
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from skillpm.environment.intents import DamagedJournalError, OutsideSwapIntent, SwapIntent
from skillpm.environment.known_projects import record_name
from skillpm.environment.project import JOURNAL, ProjectFolder
from skillpm.environment.swap import GraftPlace, recover_swap
from skillpm.errors import NotFoundError, SpecError
from skillpm.files.access import open_below
from skillpm.journal.atomic import sweep_strays
from skillpm.spec import json
from skillpm.spec.fields import read_document

RECORDS = "grafts"


@dataclass(frozen=True)
class SwapRecord:
    """The record of one swap. Write and clear it under the project's lock."""

    project: ProjectFolder
    home: Path
    place: GraftPlace

    def write(self, *, ready: bool) -> None:
        """Write the record durably. Pass `ready` once the staged folder is complete."""
        place = self.place
        if place.below is not None:
            intent = SwapIntent(ready=ready, folder=list(place.below), name=place.name)
            with self.project.open_state() as state:
                state.write(JOURNAL, json.canonical(intent.to_dict()))
            return
        record = OutsideSwapIntent(
            project=str(place.project), folder=str(place.folder), name=place.name, ready=ready
        )
        with open_below(self.home, RECORDS, create=True) as records:
            records.write(record_name(place.project), json.canonical(record.to_dict()))

    def clear(self) -> None:
        """Remove the record after the swap is completed or undone."""
        if self.place.below is not None:
            clear_journal(self.project)
        else:
            _forget(self.home, self.place.project)


def clear_journal(project: ProjectFolder) -> None:
    """Remove the project's journal durably."""
    with project.open_state() as state:
        state.remove(JOURNAL)
        state.sync()


def recover_inside(project: ProjectFolder, intent: SwapIntent) -> list[str]:
    """Complete or undo a swap in the project. Returns sentences on what was done."""
    folder = Path(*intent.folder) if intent.folder else Path()
    home = Path(os.path.realpath(project.folder))
    place = GraftPlace(home, home / folder, intent.name, tuple(intent.folder))
    return recover_swap(place, ready=intent.ready)


def recover_outside(project: ProjectFolder, home: Path) -> list[str]:
    """Complete or undo a swap outside the project that the home records.

    Returns sentences on what was done. Raises `DamagedJournalError` for an invalid record.
    """
    owner = Path(os.path.realpath(project.folder))
    name = record_name(owner)
    try:
        with open_below(home, RECORDS) as records:
            sweep_strays(records, (name,))
            data = records.find(name)
    except NotFoundError:
        return []
    if data is None:
        return []
    try:
        document = json.parse_object(data, "the record")
        record = read_document(OutsideSwapIntent, document, "the record")
        if record.project != str(owner):
            raise SpecError(f"it belongs to the project `{record.project}`")
    except SpecError as problem:
        raise DamagedJournalError(home / RECORDS / name, problem.message) from problem
    place = GraftPlace(owner, Path(record.folder), record.name, None)
    notes = recover_swap(place, ready=record.ready)
    _forget(home, owner)
    return notes


def _forget(home: Path, project: Path) -> None:
    with suppress(NotFoundError), open_below(home, RECORDS) as records:
        records.remove(record_name(project))
        records.sync()
