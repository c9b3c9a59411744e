"""The tables of skills, releases, blobs and advisories.

`info` names the migration that added a column or table; without it, that is 0001. A statement for
an embedded registry, whose schema may be 0002, names nothing newer unless the schema has it.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from skillpm_registry.tables.columns import (
    PLAIN_JSON,
    UtcTime,
    is_count,
    is_digest,
    is_half,
    is_one_of,
    metadata,
)

LIVE = "live"
DELETING = "deleting"
"""The states of a blob."""
_0004 = {"since": "0004"}

skill = Table(
    "skill",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("namespace", Text, is_half("namespace"), nullable=False),
    Column("name", Text, is_half("name"), nullable=False),
    UniqueConstraint("namespace", "name"),
)

blob = Table(
    "blob",
    metadata,
    Column("digest", Text, is_digest("digest"), primary_key=True),
    Column("size", BigInteger, is_count("size"), nullable=False),
    # The collector marks a row before it deletes the object (ADR 53).
    Column(
        "state",
        Text,
        is_one_of("state", LIVE, DELETING),
        nullable=False,
        server_default=LIVE,
        info=_0004,
    ),
    # When the blob was last stored, or was reported as present. The start of the grace period.
    Column("touched_at", UtcTime, info=_0004),
    Column("deleting_since", UtcTime, info=_0004),
    Index(
        "ix_blob_deleting",
        "deleting_since",
        sqlite_where=text("state = 'deleting'"),
        postgresql_where=text("state = 'deleting'"),
    ),
)

release = Table(
    "release",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("skill_id", ForeignKey("skill.id"), nullable=False),
    Column(
        "version",
        Text,
        CheckConstraint(
            "length(version) BETWEEN 5 AND 128 AND ltrim(version, "
            "'0123456789.-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ') = ''",
            name="version_form",
        ),
        nullable=False,
    ),
    # The digest of the OCI manifest, which is a blob like the others.
    Column("digest", ForeignKey("blob.digest"), is_digest("digest"), nullable=False, unique=True),
    Column("size", BigInteger, is_count("size"), nullable=False),
    Column("base_root", Text, is_digest("base_root"), nullable=False),
    Column("base_name", Text, nullable=False),
    Column("architecture", Text, nullable=False),
    Column("requires", PLAIN_JSON, nullable=False),
    Column("conflicts", PLAIN_JSON, nullable=False),
    Column("capabilities", PLAIN_JSON, nullable=False),
    Column("summary", Text, nullable=False),
    # Name, summary and capabilities, case-folded in Python because SQLite folds only ASCII.
    Column("search_text", Text, nullable=False),
    Column("license", Text),
    Column("scheme", Text, nullable=False),
    Column("payload_bytes", BigInteger, is_count("payload_bytes"), nullable=False),
    Column("created", Text, nullable=False),
    Column("published_at", DateTime(timezone=True), nullable=False),
    Column(
        "yanked",
        Boolean(create_constraint=True, name="yanked_form"),
        nullable=False,
        default=False,
    ),
    Column("yank_reason", Text, nullable=False, default=""),
    Column("yanked_at", DateTime(timezone=True)),
    # A quarantined release is refused even where it is locked. `yanked` is independent.
    Column(
        "quarantined",
        Boolean(create_constraint=True, name="quarantined_form"),
        nullable=False,
        server_default=false(),
        info=_0004,
    ),
    Column("quarantine_reason", Text, nullable=False, server_default=text("''"), info=_0004),
    Column("quarantined_at", UtcTime, info=_0004),
    UniqueConstraint("skill_id", "version"),
    CheckConstraint(
        "(yanked AND yanked_at IS NOT NULL) "
        "OR (NOT yanked AND yanked_at IS NULL AND yank_reason = '')",
        name="yank_is_whole",
    ),
)

release_blob = Table(
    "release_blob",
    metadata,
    Column("release_id", ForeignKey("release.id"), primary_key=True),
    # Position 0 is the config. The layers follow in their order.
    Column("position", Integer, is_count("position"), primary_key=True, autoincrement=False),
    Column("digest", ForeignKey("blob.digest"), nullable=False),
    Column("media_type", Text, nullable=False),
    # For the query which releases need a blob.
    Index(None, "digest"),
)

# The part of a release's entry in the index document that never changes, as canonical
# JSON. An older registry has no rows; `registry upgrade` adds them.
release_entry = Table(
    "release_entry",
    metadata,
    Column("release_id", ForeignKey("release.id"), primary_key=True),
    Column("document", Text, nullable=False),
    info=_0004,
)

# Who published a release; `claims` are those of the OIDC token.
release_origin = Table(
    "release_origin",
    metadata,
    Column("release_id", ForeignKey("release.id"), primary_key=True),
    Column("principal_id", ForeignKey("principal.id")),
    Column("claims", PLAIN_JSON),
    info=_0004,
)

# The principals that have uploaded a blob; for them it counts as present.
blob_owner = Table(
    "blob_owner",
    metadata,
    Column("digest", ForeignKey("blob.digest", ondelete="CASCADE"), primary_key=True),
    Column("principal_id", ForeignKey("principal.id"), primary_key=True),
    info=_0004,
)

# An upload session. While it exists, the collector keeps the blob (ADR 53).
upload = Table(
    "upload",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, is_digest("digest"), nullable=False),
    Column("size", BigInteger, is_count("size"), nullable=False),
    # Bytes that are stored durably.
    Column("received", BigInteger, is_count("received"), nullable=False),
    Column("principal_id", ForeignKey("principal.id")),
    Column("namespace", ForeignKey("namespace.name")),
    Column("begun_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Index(None, "digest"),
    Index(None, "expires_at"),
    Index(None, "namespace"),
    info=_0004,
)

# A lease that one process at a time holds: the collector's.
lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    info=_0004,
)

advisory = Table(
    "advisory",
    metadata,
    Column(
        "id",
        Text,
        CheckConstraint("length(id) BETWEEN 1 AND 128", name="id_form"),
        primary_key=True,
    ),
    # Canonical JSON in OSV form. A newer version of the same advisory replaces the row's document.
    Column("document", Text, nullable=False),
    Column("published_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    info={"since": "0002"},
)
