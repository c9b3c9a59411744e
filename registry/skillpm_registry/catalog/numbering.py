"""Assigning positions to log leaves and events, without gaps."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Table, exists, or_, select, update

from skillpm_registry.catalog.batches import insert_or_count, update_numbers
from skillpm_registry.catalog.commit import chunks
from skillpm_registry.catalog.insert import insert_new
from skillpm_registry.db.engine import Database
from skillpm_registry.tables import EVENTS, event, index_document, log_head, log_leaf

BATCH = 2000
"""The largest number of leaves, and of events, that one step numbers."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """What a step has numbered: positions by the key of the leaf, and how many events."""

    leaves: dict[int, int] = field(default_factory=dict)
    events: int = 0


@dataclass(frozen=True, slots=True)
class _LogHead:
    """A log and its size before this step; None if it has no head yet."""

    log: str
    size: int | None


class _LostError(Exception):
    """Another sequencer has moved the head."""


def number(database: Database, *, now: datetime) -> Numbered:
    """Number the leaves and events that are committed, in one transaction.

    The documents of their skills become stale. Returns nothing if another sequencer was faster:
    `UPDATE log_head … WHERE size = old` changes no row then, and this transaction is rolled back.
    """
    with database.reading() as connection:
        if not connection.scalar(_WAITS):
            return Numbered()
    try:
        with database.writing() as connection:
            # Before the waiting rows are read: if another sequencer numbers them in between, its
            # move of the head is seen.
            heads = connection.execute(select(log_head.c.log, log_head.c.size))
            sizes = {row.log: row.size for row in heads}
            leaves, skills = _number_leaves(connection, sizes, now)
            events = _number_events(connection, sizes, now)
            _mark_stale(connection, sorted(skills))
    except _LostError:
        return Numbered()
    return Numbered(leaves, events)


_WAITS = select(or_(*(exists().where(table.c.position.is_(None)) for table in (log_leaf, event))))
"""Whether a leaf or an event has no position. Asked in each step, also of an idle service."""


def _number_leaves(
    connection: Connection, sizes: Mapping[str, int], now: datetime
) -> tuple[dict[int, int], set[int]]:
    by_log: defaultdict[str, list[int]] = defaultdict(list)
    skills = set[int]()
    query = select(log_leaf.c.id, log_leaf.c.log, log_leaf.c.skill_id)
    waiting = query.where(log_leaf.c.position.is_(None)).order_by(log_leaf.c.id).limit(BATCH)
    for row in connection.execute(waiting):
        by_log[row.log].append(row.id)
        if row.skill_id is not None:
            skills.add(row.skill_id)
    positions = dict[int, int]()
    for log, keys in sorted(by_log.items()):
        head = _LogHead(log, sizes.get(log))
        positions |= _assign(connection, head, log_leaf, keys, now)
    return positions, skills


def _number_events(connection: Connection, sizes: Mapping[str, int], now: datetime) -> int:
    waiting = select(event.c.id).where(event.c.position.is_(None)).order_by(event.c.id)
    keys = list(connection.scalars(waiting.limit(BATCH)))
    head = _LogHead(EVENTS, sizes.get(EVENTS))
    return len(_assign(connection, head, event, keys, now)) if keys else 0


def _assign(
    connection: Connection, head: _LogHead, table: Table, keys: list[int], now: datetime
) -> dict[int, int]:
    """Move the head of a log, and number these rows. Raises `_LostError`."""
    if head.size is None:
        insert_new(connection, log_head, {"log": head.log, "size": 0, "moved_at": now})
    size = head.size or 0
    moved = update(log_head).where(log_head.c.log == head.log, log_head.c.size == size)
    values = {"size": size + len(keys), "moved_at": now}
    if not connection.execute(moved.values(values)).rowcount:
        raise _LostError
    positions = {key: size + place for place, key in enumerate(keys)}
    rows = [{"id": key, "position": place} for key, place in positions.items()]
    update_numbers(connection, table, "id", rows)
    return positions


def _mark_stale(connection: Connection, skills: Sequence[int]) -> None:
    rows = [{"skill_id": skill_id, "wanted": 1, "rendered": 0} for skill_id in skills]
    insert_or_count(connection, index_document, rows, key="skill_id", counter="wanted")


def position_of(database: Database, leaf: int) -> int | None:
    """The position of a leaf in its log. None if it is not numbered yet."""
    with database.reading() as connection:
        return connection.scalar(select(log_leaf.c.position).where(log_leaf.c.id == leaf))


def shown_positions(database: Database, leaves: Collection[int]) -> dict[int, int]:
    """The positions of those leaves whose index document is in the static tree with them."""
    query = (
        select(log_leaf.c.id, log_leaf.c.position)
        .join(index_document, index_document.c.skill_id == log_leaf.c.skill_id)
        .where(
            log_leaf.c.position.is_not(None), index_document.c.rendered >= index_document.c.wanted
        )
    )
    found = dict[int, int]()
    with database.reading() as connection:
        for chunk in chunks(sorted(leaves)):
            rows = connection.execute(query.where(log_leaf.c.id.in_(chunk)))
            found |= {row.id: row.position for row in rows}
    return found
