"""The table that search reads, since 0003: one row for each skill.

PostgreSQL has the additional column `words` (`tsvector`), which it computes, with a GIN index, and
a GIN index of trigrams on `name`. SQLite has the virtual tables `search_words` and `search_names`
(FTS5), whose rowids are `search_row.place`. Both are created by the migration.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Table, Text, false

from skillpm_registry.tables.columns import PLAIN_JSON, UtcTime, is_count, is_half, metadata

search_row = Table(
    "search_row",
    metadata,
    Column("skill_id", ForeignKey("skill.id"), primary_key=True),
    # The order of candidates: by number of dependents, then by age. New skills come last; the
    # nightly rebuild renumbers all rows.
    Column("place", BigInteger, is_count("place"), nullable=False, unique=True),
    Column("release_id", ForeignKey("release.id"), nullable=False),
    Column("namespace", Text, is_half("namespace"), nullable=False),
    # `namespace/name`.
    Column("name", Text, nullable=False),
    Column("summary", Text, nullable=False),
    # Names of capabilities, joined by spaces.
    Column("capabilities", Text, nullable=False),
    Column("base_root", Text, nullable=False),
    Column("base_name", Text, nullable=False),
    Column("license", Text),
    Column(
        "private",
        Boolean(create_constraint=True, name="private_form"),
        nullable=False,
        server_default=false(),
    ),
    Column("dependents", BigInteger, is_count("dependents"), nullable=False),
    # The version, digest, size and so on of the latest release, as results show them.
    Column("result", PLAIN_JSON, nullable=False),
    Column("published_at", UtcTime, nullable=False),
    Index(None, "base_root"),
    Index(None, "published_at"),
)
