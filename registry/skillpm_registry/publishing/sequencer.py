"""The sequencer numbers log leaves and events, and renders documents (contract, section 4.3)."""

from dataclasses import dataclass
from datetime import datetime
from threading import Event

from skillpm_registry.db.engine import Database
from skillpm_registry.publishing.tree import StaticTree

PERIOD = 0.2
"""Seconds between two steps."""


@dataclass(frozen=True, slots=True)
class SequencedBatch:
    """What a step did: leaves and events that were numbered, and documents that were rendered."""

    leaves: int
    events: int
    documents: int


class Sequencer:
    """Numbers and renders. Several may run: the database lets one of them win each step."""

    def __init__(self, database: Database, tree: StaticTree) -> None:
        self.database = database
        self.tree = tree

    def step(self, *, now: datetime) -> SequencedBatch:
        """Number the leaves and events that are committed, then render what they change."""
        raise NotImplementedError

    def run(self, stop: Event) -> None:
        """Step every 200 ms until `stop` is set. An error of the database does not end it."""
        raise NotImplementedError

    def position_of(self, leaf: int) -> int | None:
        """The position of a leaf in its log. None if it is not numbered yet."""
        raise NotImplementedError

    def wait_for(self, leaf: int, timeout: float) -> int | None:
        """Wait until a leaf is numbered and its document is in the static tree.

        None after `timeout` seconds: the change is queued, because no sequencer runs.
        """
        raise NotImplementedError
