"""The table that search reads, since 0006: one row for each skill.

PostgreSQL has the additional column `word_vector` (`tsvector`), which it computes from `words`,
with a GIN index. SQLite has the virtual table `search_words` (FTS5) over `words`, whose rowids are
the values of `place`. The migration creates both.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Table, Text, false

from skillpm_registry.tables.columns import PLAIN_JSON, UtcTime, is_count, metadata

search_row = Table(
    "search_row",
    metadata,
    Column("skill_id", ForeignKey("skill.id"), primary_key=True),
    # The order of candidates: by number of dependents, then by age. New skills come last; the
    # nightly rebuild numbers all rows again.
    Column("place", BigInteger, is_count("place"), nullable=False, unique=True),
    Column("release_id", ForeignKey("release.id"), nullable=False),
    Column("namespace", Text, nullable=False),
    # The name without the namespace.
    Column("name", Text, nullable=False),
    # The words to find the skill by, separated by spaces; `catalog.words` splits them.
    Column("words", Text, nullable=False),
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
    Index(None, "published_at"),
    info={"since": "0006"},
)
