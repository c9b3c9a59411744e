"""The tables of the catalogue, with constraints that refuse malformed values.

The constraints use SQL that both SQLite and PostgreSQL support. Triggers keep releases immutable;
the migrations create them.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _is_digest(column: str) -> CheckConstraint:
    """The constraint that a column is `sha256:` and 64 lower-case hexadecimal digits."""
    return CheckConstraint(
        f"length({column}) = 71 AND substr({column}, 1, 7) = 'sha256:' "
        f"AND ltrim(substr({column}, 8), '0123456789abcdef') = ''",
        name=f"{column}_form",
    )


def _is_count(column: str) -> CheckConstraint:
    """The constraint that a column is a number of at least 0.

    The upper bound also refuses text, which SQLite sorts after all numbers.
    """
    return CheckConstraint(f"{column} BETWEEN 0 AND 9223372036854775807", name=f"{column}_form")


def _is_half(column: str) -> CheckConstraint:
    """The constraint that a column is a namespace or name of a skill, as far as SQL permits."""
    return CheckConstraint(
        f"length({column}) BETWEEN 1 AND 64 "
        f"AND ltrim({column}, 'abcdefghijklmnopqrstuvwxyz0123456789._-') = '' "
        f"AND trim({column}, '._-') = {column}",
        name=f"{column}_form",
    )


skill = Table(
    "skill",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("namespace", Text, _is_half("namespace"), nullable=False),
    Column("name", Text, _is_half("name"), nullable=False),
    UniqueConstraint("namespace", "name"),
)

blob = Table(
    "blob",
    metadata,
    Column("digest", Text, _is_digest("digest"), primary_key=True),
    Column("size", BigInteger, _is_count("size"), nullable=False),
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
    Column("digest", ForeignKey("blob.digest"), _is_digest("digest"), nullable=False, unique=True),
    Column("size", BigInteger, _is_count("size"), nullable=False),
    Column("base_root", Text, _is_digest("base_root"), nullable=False),
    Column("base_name", Text, nullable=False),
    Column("architecture", Text, nullable=False),
    Column("requires", JSON, nullable=False),
    Column("conflicts", JSON, nullable=False),
    Column("capabilities", JSON, nullable=False),
    Column("summary", Text, nullable=False),
    # Name, summary and capabilities, case-folded in Python because SQLite folds only ASCII.
    Column("search_text", Text, nullable=False),
    Column("license", Text),
    Column("scheme", Text, nullable=False),
    Column("payload_bytes", BigInteger, _is_count("payload_bytes"), nullable=False),
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
    Column("position", Integer, _is_count("position"), primary_key=True, autoincrement=False),
    Column("digest", ForeignKey("blob.digest"), nullable=False),
    Column("media_type", Text, nullable=False),
    # For the query which releases need a blob.
    Index(None, "digest"),
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
)
