"""States of blobs and releases, upload sessions, and the entries of index documents."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PLAIN_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
IMMUTABLE = "a release is immutable"
FIXED = {"release_entry": "release_id", "release_origin": "release_id"}
TYPES = {
    "sqlite": ("DATETIME", ("DEFAULT 0 NOT NULL CONSTRAINT ck_release_quarantined_form "
               "CHECK (quarantined IN (0, 1))")),
    "postgresql": ("TIMESTAMP WITH TIME ZONE", "DEFAULT false NOT NULL"),
}  # fmt: skip


def refuse(dialect: str, name: str, event: str, message: str) -> str:
    if dialect == "sqlite":
        return (
            f"CREATE TRIGGER {name} BEFORE {event} WHEN true "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
    return (
        f"CREATE TRIGGER {name} BEFORE {event} "
        f"FOR EACH ROW EXECUTE FUNCTION skillpm_refuse('{message}')"
    )


def refuse_replacing(table: str, key: str) -> str:
    is_there = f"EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})"  # noqa: S608 - constants
    return (
        f"CREATE TRIGGER {table}_is_not_replaced BEFORE INSERT ON {table} WHEN {is_there} "
        f"BEGIN SELECT RAISE(ABORT, '{IMMUTABLE}'); END"
    )


def digest_check(table: str, column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(
        f"length({column}) = 71 AND substr({column}, 1, 7) = 'sha256:' "
        f"AND ltrim(substr({column}, 8), '0123456789abcdef') = ''",
        name=op.f(f"ck_{table}_{column}_form"),
    )


def count_check(table: str, column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(
        f"{column} BETWEEN 0 AND 9223372036854775807", name=op.f(f"ck_{table}_{column}_form")
    )


def foreign_key(table: str, column: str, target: str, **options: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{target.partition('.')[0]}")
    return sa.ForeignKeyConstraint([column], [target], name=name, **options)


def primary_key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    add_states(dialect)
    create_release_tables()
    create_upload_tables()
    for table, key in FIXED.items():
        op.execute(refuse(dialect, f"{table}_stays", f"UPDATE ON {table}", IMMUTABLE))
        op.execute(refuse(dialect, f"{table}_is_kept", f"DELETE ON {table}", IMMUTABLE))
        if dialect == "sqlite":
            op.execute(refuse_replacing(table, key))


def add_states(dialect: str) -> None:
    # Statements instead of Alembic's operations, which on SQLite add no constraint with a column.
    time, quarantined = TYPES[dialect]
    for definition in (
        (
            "blob ADD COLUMN state TEXT DEFAULT 'live' NOT NULL "
            "CONSTRAINT ck_blob_state_form CHECK (state IN ('live', 'deleting'))"
        ),
        f"blob ADD COLUMN touched_at {time}",
        f"blob ADD COLUMN deleting_since {time}",
        f"release ADD COLUMN quarantined BOOLEAN {quarantined}",
        "release ADD COLUMN quarantine_reason TEXT DEFAULT '' NOT NULL",
        f"release ADD COLUMN quarantined_at {time}",
    ):
        op.execute(f"ALTER TABLE {definition}")
    op.create_index(
        op.f("ix_blob_deleting"),
        "blob",
        ["deleting_since"],
        sqlite_where=sa.text("state = 'deleting'"),
        postgresql_where=sa.text("state = 'deleting'"),
    )
    frozen = refuse(dialect, "blob_stays", "UPDATE OF digest, size ON blob", "a blob is immutable")
    drop_blob_trigger(dialect)
    op.execute(frozen)


def drop_blob_trigger(dialect: str) -> None:
    op.execute("DROP TRIGGER blob_stays" + (" ON blob" if dialect == "postgresql" else ""))


def create_release_tables() -> None:
    op.create_table(
        "release_entry",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        primary_key("release_entry", "release_id"),
        foreign_key("release_entry", "release_id", "release.id"),
    )
    op.create_table(
        "release_origin",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("principal_id", ROW_ID),
        sa.Column("claims", PLAIN_JSON),
        primary_key("release_origin", "release_id"),
        foreign_key("release_origin", "release_id", "release.id"),
        foreign_key("release_origin", "principal_id", "principal.id"),
    )
    op.create_table(
        "blob_owner",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("principal_id", ROW_ID, nullable=False),
        primary_key("blob_owner", "digest", "principal_id"),
        foreign_key("blob_owner", "digest", "blob.digest", ondelete="CASCADE"),
        foreign_key("blob_owner", "principal_id", "principal.id"),
    )


def create_upload_tables() -> None:
    op.create_table(
        "upload",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("principal_id", ROW_ID),
        sa.Column("namespace", sa.Text()),
        sa.Column("begun_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        digest_check("upload", "digest"),
        count_check("upload", "size"),
        count_check("upload", "received"),
        primary_key("upload", "id"),
        foreign_key("upload", "principal_id", "principal.id"),
        foreign_key("upload", "namespace", "namespace.name"),
    )
    for column in ("digest", "expires_at", "namespace"):
        op.create_index(op.f(f"ix_upload_{column}"), "upload", [column])
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        primary_key("lease", "name"),
    )


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    for table in ("lease", "upload", "blob_owner", "release_origin", "release_entry"):
        op.drop_table(table)
    op.drop_index("ix_blob_deleting", table_name="blob")
    drop_blob_trigger(dialect)
    # Blobs in the state `deleting` may lack their object. The next publish uploads them again.
    op.execute("DELETE FROM blob WHERE state = 'deleting'")
    for column in (
        "blob DROP COLUMN state",
        "blob DROP COLUMN touched_at",
        "blob DROP COLUMN deleting_since",
        "release DROP COLUMN quarantined",
        "release DROP COLUMN quarantine_reason",
        "release DROP COLUMN quarantined_at",
    ):
        op.execute(f"ALTER TABLE {column}")
    op.execute(refuse(dialect, "blob_stays", "UPDATE ON blob", "a blob is immutable"))
