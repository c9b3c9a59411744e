"""The sequencer numbers log leaves and events, and renders documents (contract, section 4.3)."""

import logging
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Condition, Event

from skillpm.errors import SkillpmError
from skillpm_registry.blobs.tree import StaticTree
from skillpm_registry.catalog.documents import (
    Documents,
    RenderedDocument,
    StaleDocument,
    static_path,
)
from skillpm_registry.catalog.numbering import number, position_of, shown_positions
from skillpm_registry.db.engine import Database
from skillpm_registry.publishing.tree import hide_documents

PERIOD = 0.2
"""Seconds between two steps."""
_DOCUMENTS = 500
"""The largest number of documents that one step renders."""
_BATCH = 50
"""The largest number of documents that one transaction records."""
_WRITERS = 8
"""Documents that are written at the same time."""
_RECENT = 10_000
"""Positions that are kept in memory for those who wait."""
_ASK = 1.0
"""Seconds without a step, after which `wait_for` asks: another process may run the sequencer."""
_LOGGER = logging.getLogger(__name__)


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
        self._documents = Documents(database)
        self._recent: OrderedDict[int, int] = OrderedDict()
        self._awaited: Counter[int] = Counter()
        self._running = 0
        self._stepped_at = -math.inf
        self._stepped = Condition()

    def step(self, *, now: datetime) -> SequencedBatch:
        """Number the leaves and events that are committed, then render what they change."""
        with self._stepped:
            self._running += 1
        try:
            numbered = number(self.database, now=now)
            rendered = self._render(now)
            # After a full batch, the database knows which of the leaves have their documents.
            self._announce(numbered.leaves if rendered < _DOCUMENTS else {})
        finally:
            with self._stepped:
                self._running -= 1
        return SequencedBatch(len(numbered.leaves), numbered.events, rendered)

    def _announce(self, leaves: Mapping[int, int]) -> None:
        """Tell those who wait of these positions, and of those that other processes assigned."""
        with self._stepped:
            others = self._awaited.keys() - leaves.keys() - self._recent.keys()
        shown = shown_positions(self.database, others) if others else {}
        with self._stepped:
            self._recent.update(leaves)
            self._recent.update(shown)
            while len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
            self._stepped_at = time.monotonic()
            self._stepped.notify_all()

    def run(self, stop: Event) -> None:
        """Step every 200 ms until `stop` is set. An error of a store is logged and retried."""
        while not stop.is_set():
            begun = time.monotonic()
            try:
                self.step(now=datetime.now(UTC))
            except SkillpmError as problem:
                _LOGGER.warning("the sequencer will try again: %s", problem.message)
            stop.wait(max(0.0, PERIOD - (time.monotonic() - begun)))

    def position_of(self, leaf: int) -> int | None:
        """The position of a leaf in its log. None if it is not numbered yet."""
        return position_of(self.database, leaf)

    def wait_for(self, leaf: int, timeout: float) -> int | None:
        """Wait until a leaf is numbered and its document is in the static tree.

        None after `timeout` seconds: the change is queued, because no sequencer runs. While this
        process sequences, each step asks the database for all who wait; else each asks itself.
        """
        with self._stepped:
            self._awaited[leaf] += 1
        try:
            return self._wait_for(leaf, time.monotonic() + timeout)
        finally:
            with self._stepped:
                self._awaited[leaf] -= 1
                if not self._awaited[leaf]:
                    del self._awaited[leaf]

    def _wait_for(self, leaf: int, end: float) -> int | None:
        asked = time.monotonic()
        while True:
            with self._stepped:
                if leaf in self._recent:
                    return self._recent[leaf]
                self._stepped.wait(max(0.0, min(end - time.monotonic(), _ASK)))
                moment = time.monotonic()
                is_asked = self._running > 0 or moment < self._stepped_at + _ASK
            if moment >= end or (not is_asked and moment >= asked + _ASK):
                position = shown_positions(self.database, [leaf]).get(leaf)
                if position is not None or moment >= end:
                    return position
                asked = moment

    def _render(self, now: datetime) -> int:
        """Render stale documents, and write those of public namespaces into the tree."""
        stale = self._documents.stale(_DOCUMENTS)
        done = 0
        while done < len(stale):
            done += self._show(stale[done : done + _BATCH], now)
        return done

    def _show(self, stale: Sequence[StaleDocument], now: datetime) -> int:
        """Render the first documents of a batch. Returns how many."""
        rendered = self._documents.render(stale)
        shown = stale[: len(rendered)]
        public = [
            document for before, document in zip(shown, rendered, strict=True) if not before.private
        ]
        # The time of writing is that of waiting for the disk or the bucket. After an error, this
        # waits for the writes that have begun: a later one must not come before them.
        with ThreadPoolExecutor(_WRITERS) as writers:
            list(writers.map(self._write, public))
        hidden = self._documents.record(shown, rendered, now=now)
        for space in hidden & {document.skill.namespace for document in public}:
            # Whoever makes a namespace private removes its documents; these came later.
            hide_documents(self.tree, space)
        return len(shown)

    def _write(self, document: RenderedDocument) -> None:
        # The immutable form first: whoever reads the other one may ask for it.
        immutable = static_path(document.skill, document.digest)
        self.tree.put(immutable, document.body, immutable=True)
        self.tree.put(static_path(document.skill), document.body)
