"""The log with its head, the events, and rendered index documents."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PLAIN_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
KEPT = "the log only grows"


def count_check(table: str, column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(
        f"{column} BETWEEN 0 AND 9223372036854775807", name=op.f(f"ck_{table}_{column}_form")
    )


def foreign_key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{target.partition('.')[0]}")
    return sa.ForeignKeyConstraint([column], [target], name=name)


def primary_key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def partial_index(name: str, table: str, column: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(op.f(name), table, [column], sqlite_where=condition, postgresql_where=condition)


def refuse(name: str, event: str) -> str:
    if op.get_bind().dialect.name == "sqlite":
        return f"CREATE TRIGGER {name} BEFORE {event} BEGIN SELECT RAISE(ABORT, '{KEPT}'); END"
    return (
        f"CREATE TRIGGER {name} BEFORE {event} "
        f"FOR EACH ROW EXECUTE FUNCTION skillpm_refuse('{KEPT}')"
    )


def upgrade() -> None:
    create_log()
    create_event()
    create_documents()
    for table, frozen in (
        ("log_leaf", "id, log, kind, skill_id, release_id, document, added_at"),
        ("event", "id, kind, at, principal_id, namespace, subject, version, digest, detail"),
    ):
        op.execute(refuse(f"{table}_stays", f"UPDATE OF {frozen} ON {table}"))
        op.execute(refuse(f"{table}_is_kept", f"DELETE ON {table}"))


def create_log() -> None:
    op.create_table(
        "log_head",
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", TIME, nullable=False),
        count_check("log_head", "size"),
        primary_key("log_head", "log"),
    )
    op.create_table(
        "log_leaf",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("skill_id", sa.Integer()),
        sa.Column("release_id", sa.Integer()),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("added_at", TIME, nullable=False),
        count_check("log_leaf", "position"),
        primary_key("log_leaf", "id"),
        foreign_key("log_leaf", "skill_id", "skill.id"),
        foreign_key("log_leaf", "release_id", "release.id"),
    )
    op.create_index(op.f("uq_log_leaf_log_position"), "log_leaf", ["log", "position"], unique=True)
    partial_index("ix_log_leaf_unnumbered", "log_leaf", "id", "position IS NULL")
    op.create_index(op.f("ix_log_leaf_release_id"), "log_leaf", ["release_id"])


def create_event() -> None:
    op.create_table(
        "event",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("position", sa.BigInteger()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("principal_id", ROW_ID),
        sa.Column("namespace", sa.Text()),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("version", sa.Text()),
        sa.Column("digest", sa.Text()),
        sa.Column("detail", PLAIN_JSON),
        count_check("event", "position"),
        primary_key("event", "id"),
        foreign_key("event", "principal_id", "principal.id"),
        sa.UniqueConstraint("position", name=op.f("uq_event_position")),
    )
    partial_index("ix_event_unnumbered", "event", "id", "position IS NULL")
    op.create_index(op.f("ix_event_namespace_event_position"), "event", ["namespace", "position"])


def create_documents() -> None:
    op.create_table(
        "index_document",
        sa.Column("skill_id", sa.Integer(), nullable=False),
        sa.Column("wanted", sa.BigInteger(), nullable=False),
        sa.Column("rendered", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text()),
        sa.Column("body", sa.Text()),
        sa.Column("rendered_at", TIME),
        count_check("index_document", "wanted"),
        count_check("index_document", "rendered"),
        sa.CheckConstraint(
            "length(digest) = 71 AND substr(digest, 1, 7) = 'sha256:' "
            "AND ltrim(substr(digest, 8), '0123456789abcdef') = ''",
            name=op.f("ck_index_document_digest_form"),
        ),
        primary_key("index_document", "skill_id"),
        foreign_key("index_document", "skill_id", "skill.id"),
    )
    partial_index("ix_index_document_stale", "index_document", "skill_id", "rendered < wanted")
    op.create_table(
        "replaced_file",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("replaced_at", TIME, nullable=False),
        primary_key("replaced_file", "path"),
    )
    op.create_index(op.f("ix_replaced_file_replaced_at"), "replaced_file", ["replaced_at"])


def downgrade() -> None:
    for table in ("replaced_file", "index_document", "event", "log_leaf", "log_head"):
        op.drop_table(table)
