"""Principals, namespaces with roles, tokens, and trusted publishers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PLAIN_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
HEX = "0123456789abcdef"
PRINCIPAL = "principal.id"
KNOWN_NAMESPACES = """INSERT INTO namespace (name, created_at)
SELECT DISTINCT namespace, CURRENT_TIMESTAMP FROM skill"""
KEPT = "a namespace is never deleted"
TRIGGERS = {
    "sqlite": (
        (
            f"CREATE TRIGGER namespace_is_kept BEFORE DELETE ON namespace "
            f"BEGIN SELECT RAISE(ABORT, '{KEPT}'); END"
        ),
        (
            "CREATE TRIGGER namespace_keeps_its_name BEFORE UPDATE OF name ON namespace "
            f"BEGIN SELECT RAISE(ABORT, '{KEPT}'); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE TRIGGER namespace_is_kept BEFORE DELETE ON namespace "
            f"FOR EACH ROW EXECUTE FUNCTION skillpm_refuse('{KEPT}')"
        ),
        (
            "CREATE TRIGGER namespace_keeps_its_name BEFORE UPDATE OF name ON namespace "
            f"FOR EACH ROW EXECUTE FUNCTION skillpm_refuse('{KEPT}')"
        ),
    ),
}


def check(table: str, column: str, sql: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(sql, name=op.f(f"ck_{table}_{column}_form"))


def count_check(table: str, column: str) -> sa.CheckConstraint:
    return check(table, column, f"{column} BETWEEN 0 AND 9223372036854775807")


def boolean_check(table: str, column: str) -> list[sa.CheckConstraint]:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    return [check(table, column, f"{column} IN (0, 1)")] if is_sqlite else []


def primary_key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def foreign_key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{target.partition('.')[0]}")
    return sa.ForeignKeyConstraint([column], [target], name=name)


def boolean(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def index(table: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns))


def upgrade() -> None:
    create_principal()
    create_namespace()
    create_token()
    create_publisher_rule()
    op.create_table(
        "jti_seen",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        primary_key("jti_seen", "issuer", "jti"),
    )
    index("jti_seen", "expires_at")
    op.execute(KNOWN_NAMESPACES)
    for trigger in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(trigger)


def create_principal() -> None:
    op.create_table(
        "principal",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        boolean("is_admin"),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("quota_bytes", sa.BigInteger()),
        sa.Column("disabled_at", TIME),
        check("principal", "name", "length(name) BETWEEN 1 AND 256"),
        check("principal", "kind", "kind IN ('user', 'publisher')"),
        count_check("principal", "quota_bytes"),
        *boolean_check("principal", "is_admin"),
        primary_key("principal", "id"),
        sa.UniqueConstraint("name", name=op.f("uq_principal_name")),
    )


def create_namespace() -> None:
    op.create_table(
        "namespace",
        sa.Column("name", sa.Text(), nullable=False),
        boolean("private"),
        sa.Column("mirror_of", sa.Text()),
        sa.Column("quota_bytes", sa.BigInteger()),
        sa.Column("created_at", TIME, nullable=False),
        check(
            "namespace",
            "name",
            f"length(name) BETWEEN 1 AND 64 AND ltrim(name, '{LETTERS}0123456789._-') = '' "
            "AND trim(name, '._-') = name",
        ),
        count_check("namespace", "quota_bytes"),
        *boolean_check("namespace", "private"),
        primary_key("namespace", "name"),
    )
    op.create_table(
        "namespace_member",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("principal_id", ROW_ID, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("granted_at", TIME, nullable=False),
        sa.Column("granted_by", ROW_ID),
        check("namespace_member", "role", "role IN ('owner', 'maintainer', 'publisher', 'reader')"),
        primary_key("namespace_member", "namespace", "principal_id"),
        foreign_key("namespace_member", "namespace", "namespace.name"),
        foreign_key("namespace_member", "principal_id", PRINCIPAL),
        foreign_key("namespace_member", "granted_by", PRINCIPAL),
    )
    index("namespace_member", "principal_id")


def create_token() -> None:
    op.create_table(
        "token",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("principal_id", ROW_ID, nullable=False),
        sa.Column("note", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("actions", PLAIN_JSON, nullable=False),
        sa.Column("patterns", PLAIN_JSON, nullable=False),
        boolean("single_use"),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("claims", PLAIN_JSON),
        check(
            "token",
            "hash",
            "length(hash) = 71 AND substr(hash, 1, 7) = 'sha256:' "
            f"AND ltrim(substr(hash, 8), '{HEX}') = ''",
        ),
        *boolean_check("token", "single_use"),
        primary_key("token", "id"),
        foreign_key("token", "principal_id", PRINCIPAL),
        sa.UniqueConstraint("hash", name=op.f("uq_token_hash")),
    )
    index("token", "principal_id")
    index("token", "expires_at")


def create_publisher_rule() -> None:
    op.create_table(
        "publisher_rule",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("claims", PLAIN_JSON, nullable=False),
        sa.Column("principal_id", ROW_ID, nullable=False),
        boolean("publishes_new"),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", ROW_ID),
        sa.Column("removed_at", TIME),
        *boolean_check("publisher_rule", "publishes_new"),
        primary_key("publisher_rule", "id"),
        foreign_key("publisher_rule", "namespace", "namespace.name"),
        foreign_key("publisher_rule", "principal_id", PRINCIPAL),
        foreign_key("publisher_rule", "created_by", PRINCIPAL),
    )
    index("publisher_rule", "issuer")
    index("publisher_rule", "namespace")


def downgrade() -> None:
    for table in ("jti_seen", "publisher_rule", "token", "namespace_member"):
        op.drop_table(table)
    op.drop_table("namespace")
    op.drop_table("principal")
