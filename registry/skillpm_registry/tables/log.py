"""The tables of the log, of events and of rendered documents. All exist since 0005.

Later migrations add the tables of section 5 of the contract. A signed checkpoint belongs to a row
of `log_head` and is unique by its size. Tiles and the map are computed from numbered leaves, whose
bytes are `log_leaf.document`. Roots are documents by number, and signatures belong to a release's
digest.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text, text

from skillpm_registry.tables.columns import (
    PLAIN_JSON,
    ROW_ID,
    UtcTime,
    is_count,
    is_digest,
    metadata,
)

PUBLIC = "public"
"""The log of all public namespaces. A private namespace has a log of its own name, after `ns:`."""
EVENTS = "events"
"""The row of `log_head` that numbers the events."""

_UNNUMBERED = text("position IS NULL")

# The size of each log. Only the sequencer changes a row.
log_head = Table(
    "log_head",
    metadata,
    Column("log", Text, primary_key=True),
    Column("size", BigInteger, is_count("size"), nullable=False),
    Column("moved_at", UtcTime, nullable=False),
    info={"since": "0005"},
)

# One leaf for each change of a release's state. The sequencer assigns positions, without gaps.
log_leaf = Table(
    "log_leaf",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("log", Text, nullable=False),
    Column("position", BigInteger, is_count("position")),
    # `publish`, `yank`, `unyank`, `quarantine`, `release` (from quarantine), `remove`.
    Column("kind", Text, nullable=False),
    Column("skill_id", ForeignKey("skill.id")),
    Column("release_id", ForeignKey("release.id")),
    # The bytes of the leaf: canonical JSON.
    Column("document", Text, nullable=False),
    Column("added_at", UtcTime, nullable=False),
    Index("uq_log_leaf_log_position", "log", "position", unique=True),
    Index("ix_log_leaf_unnumbered", "id", sqlite_where=_UNNUMBERED, postgresql_where=_UNNUMBERED),
    Index(None, "release_id"),
    info={"since": "0005"},
)

# Every write, for `GET /events`. The sequencer assigns positions, so a reader that continues after
# the last position misses no event that was committed late.
event = Table(
    "event",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("position", BigInteger, is_count("position"), unique=True),
    Column("kind", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("principal_id", ForeignKey("principal.id")),
    Column("namespace", Text),
    # The skill, or what else was changed: a token's identifier, a principal's name.
    Column("subject", Text, nullable=False),
    Column("version", Text),
    Column("digest", Text),
    Column("detail", PLAIN_JSON),
    Index("ix_event_unnumbered", "id", sqlite_where=_UNNUMBERED, postgresql_where=_UNNUMBERED),
    Index(None, "namespace", "position"),
    info={"since": "0005"},
)

# The index document of a skill as it was last rendered, and whether it must be rendered again:
# `wanted` counts the changes, `rendered` is the count that `body` shows and that is in the tree.
index_document = Table(
    "index_document",
    metadata,
    Column("skill_id", ForeignKey("skill.id"), primary_key=True),
    Column("wanted", BigInteger, is_count("wanted"), nullable=False),
    Column("rendered", BigInteger, is_count("rendered"), nullable=False),
    Column("digest", Text, is_digest("digest")),
    Column("body", Text),
    Column("rendered_at", UtcTime),
    Index(
        "ix_index_document_stale",
        "skill_id",
        sqlite_where=text("rendered < wanted"),
        postgresql_where=text("rendered < wanted"),
    ),
    info={"since": "0005"},
)

# Files of the static tree whose content was replaced. They are removed 24 hours later.
replaced_file = Table(
    "replaced_file",
    metadata,
    Column("path", Text, primary_key=True),
    Column("replaced_at", UtcTime, nullable=False),
    Index(None, "replaced_at"),
    info={"since": "0005"},
)
