"""Moving a registry to another database and store of blobs: `registry migrate FROM TO`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Table, insert, select, text

from skillpm.errors import StateError
from skillpm.spec.digests import Digest
from skillpm_registry.backend import Backend
from skillpm_registry.errors import BlobMissingError
from skillpm_registry.tables import (
    LIVE,
    blob,
    index_document,
    lease,
    metadata,
    namespace,
    principal,
    release,
    upload,
)

Report = Callable[[int, int], None]
"""Receives the number of blobs that the target has, and the number of all."""
_ROWS = 1000
_KEPT = (lease, upload, blob)
"""Tables whose rows are not copied: leases and sessions end here, and blobs are copied first."""
_OWN = (release, principal, namespace)
_ROW_IDS = ("skill", "release", "principal", "publisher_rule", "log_leaf", "event")
"""Tables whose keys PostgreSQL assigns from a sequence."""


@dataclass(frozen=True, slots=True)
class MovedRegistry:
    """What was copied."""

    blobs: int
    bytes: int
    rows: int


class TargetNotEmptyError(StateError):
    """The registry to migrate to has rows of its own, whose keys would mean others afterwards."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"`{place}` has releases, people or namespaces already, and cannot receive those of "
            "another registry",
            hint="name an empty database, without `skillpm registry init` before",
        )


def move_registry(
    source: Backend, target: Backend, *, now: datetime, report: Report = lambda _done, _all: None
) -> MovedRegistry:
    """Copy all blobs of a registry, each verified by its digest, then all rows in one transaction.

    Stop publishing to the source before. An interrupted call is continued by the next: blobs that
    the target has are not copied again, and rows appear all or not at all. Raises
    `TargetNotEmptyError`, and `BlobMissingError` or `IntegrityError` for a damaged blob.
    """
    with target.database.reading() as connection:
        if any(connection.execute(select(table).limit(1)).first() for table in _OWN):
            raise TargetNotEmptyError(str(target.database.place))
    blobs, size = _copy_blobs(source, target, now, report)
    with source.database.snapshot() as before, target.database.writing() as after:
        rows = sum(
            _copy_rows(before, after, table)
            for table in metadata.sorted_tables
            if table not in _KEPT
        )
        _finish(after)
    target.search.rebuild(now=now)
    return MovedRegistry(blobs, size, rows)


def _copy_blobs(source: Backend, target: Backend, now: datetime, report: Report) -> tuple[int, int]:
    query = select(blob.c.digest, blob.c.size).where(blob.c.state == LIVE)
    with source.database.reading() as connection:
        wanted = {row.digest: row.size for row in connection.execute(query)}
    with target.database.reading() as connection:
        present = set(connection.scalars(query.with_only_columns(blob.c.digest)))
    missing = sorted(set(wanted) - present)
    for number, name in enumerate(missing):
        report(len(wanted) - len(missing) + number, len(wanted))
        digest = Digest(name)
        stream = source.blobs.open(digest)
        if stream is None:
            raise BlobMissingError(source.blobs.name, digest)
        with stream:
            target.blobs.put(digest, wanted[name], stream)
        with target.database.writing() as connection:
            values = {"digest": name, "size": wanted[name], "touched_at": now}
            connection.execute(insert(blob).values(values))
    report(len(wanted), len(wanted))
    return len(missing), sum(wanted[name] for name in missing)


def _copy_rows(source: Connection, target: Connection, table: Table) -> int:
    copied = 0
    result = source.execute(select(table).execution_options(yield_per=_ROWS))
    for page in result.mappings().partitions(_ROWS):
        target.execute(insert(table), [dict(row) for row in page])
        copied += len(page)
    return copied


def _finish(target: Connection) -> None:
    """Render all documents again, and continue the sequences after the copied keys."""
    target.execute(index_document.update().values(wanted=index_document.c.wanted + 1))
    if target.dialect.name == "postgresql":
        for name in _ROW_IDS:
            target.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), "  # noqa: S608
                    f"GREATEST((SELECT max(id) FROM {name}), 1))"
                )
            )
