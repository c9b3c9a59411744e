"""The first schema of the catalogue: skills, their releases, and the releases' blobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PLAIN_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
FROZEN = (
    "id, skill_id, version, digest, size, base_root, base_name, architecture, requires, "
    "conflicts, capabilities, summary, search_text, license, scheme, payload_bytes, created, "
    "published_at"
)


def refuse(name: str, event: str, message: str, *, when: str = "true") -> str:
    return (
        f"CREATE TRIGGER {name} BEFORE {event} WHEN {when} "
        f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
    )


def refuse_replacing(table: str, is_same_row: str) -> str:
    # SQLite's REPLACE deletes the old row without running delete triggers.
    return refuse(
        f"{table}_is_not_replaced",
        f"INSERT ON {table}",
        f"a {table} row stays as it is",
        when=f"EXISTS (SELECT 1 FROM {table} WHERE {is_same_row})",  # noqa: S608 - constants only
    )


# PostgreSQL has no RAISE outside of functions. The error counts as a violated constraint.
REFUSE = """CREATE FUNCTION skillpm_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'integrity_constraint_violation';
END $$"""


def refuse_row(name: str, event: str, message: str) -> str:
    return (
        f"CREATE TRIGGER {name} BEFORE {event} FOR EACH ROW "
        f"EXECUTE FUNCTION skillpm_refuse('{message}')"
    )


def refuse_removal(table: str, name: str, message: str) -> tuple[str, str]:
    return (
        refuse_row(name, f"DELETE ON {table}", message),
        (
            f"CREATE TRIGGER {table}_is_not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT "
            f"EXECUTE FUNCTION skillpm_refuse('{message}')"
        ),
    )


TRIGGERS = {
    "sqlite": (
        refuse("release_stays", f"UPDATE OF {FROZEN} ON release", "a release is immutable"),
        refuse("release_is_kept", "DELETE ON release", "a release is never deleted"),
        refuse_replacing(
            "release",
            "id = NEW.id OR digest = NEW.digest "
            "OR (skill_id = NEW.skill_id AND version = NEW.version)",
        ),
        refuse("release_blob_stays", "UPDATE ON release_blob", "a release is immutable"),
        refuse("release_blob_is_kept", "DELETE ON release_blob", "a release is immutable"),
        refuse_replacing("release_blob", "release_id = NEW.release_id AND position = NEW.position"),
        refuse("skill_stays", "UPDATE ON skill", "a skill keeps its name"),
        refuse_replacing("skill", "id = NEW.id OR (namespace = NEW.namespace AND name = NEW.name)"),
        refuse("blob_stays", "UPDATE ON blob", "a blob is immutable"),
        refuse_replacing("blob", "digest = NEW.digest"),
    ),
    "postgresql": (
        REFUSE,
        refuse_row("release_stays", f"UPDATE OF {FROZEN} ON release", "a release is immutable"),
        *refuse_removal("release", "release_is_kept", "a release is never deleted"),
        refuse_row("release_blob_stays", "UPDATE ON release_blob", "a release is immutable"),
        *refuse_removal("release_blob", "release_blob_is_kept", "a release is immutable"),
        refuse_row("skill_stays", "UPDATE ON skill", "a skill keeps its name"),
        refuse_row("blob_stays", "UPDATE ON blob", "a blob is immutable"),
    ),
}


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


def boolean_check(table: str, column: str) -> list[sa.CheckConstraint]:
    if op.get_bind().dialect.name != "sqlite":
        return []
    return [sa.CheckConstraint(f"{column} IN (0, 1)", name=op.f(f"ck_{table}_{column}_form"))]


def half_check(column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(
        f"length({column}) BETWEEN 1 AND 64 "
        f"AND ltrim({column}, '{LETTERS}0123456789._-') = '' "
        f"AND trim({column}, '._-') = {column}",
        name=op.f(f"ck_skill_{column}_form"),
    )


def upgrade() -> None:
    op.create_table(
        "skill",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        half_check("namespace"),
        half_check("name"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skill")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_skill_namespace_name")),
    )
    op.create_table(
        "blob",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        digest_check("blob", "digest"),
        count_check("blob", "size"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blob")),
    )
    create_release()
    create_release_blob()
    for trigger in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(trigger)


def create_release() -> None:
    op.create_table(
        "release",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("skill_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("base_root", sa.Text(), nullable=False),
        sa.Column("base_name", sa.Text(), nullable=False),
        sa.Column("architecture", sa.Text(), nullable=False),
        sa.Column("requires", PLAIN_JSON, nullable=False),
        sa.Column("conflicts", PLAIN_JSON, nullable=False),
        sa.Column("capabilities", PLAIN_JSON, nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("license", sa.Text()),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("payload_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("yanked", sa.Boolean(), nullable=False),
        sa.Column("yank_reason", sa.Text(), nullable=False),
        sa.Column("yanked_at", sa.DateTime(timezone=True)),
        *release_checks(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
        sa.ForeignKeyConstraint(["skill_id"], ["skill.id"], name=op.f("fk_release_skill_id_skill")),
        sa.ForeignKeyConstraint(["digest"], ["blob.digest"], name=op.f("fk_release_digest_blob")),
        sa.UniqueConstraint("digest", name=op.f("uq_release_digest")),
        sa.UniqueConstraint("skill_id", "version", name=op.f("uq_release_skill_id_version")),
    )


def release_checks() -> list[sa.CheckConstraint]:
    return [
        sa.CheckConstraint(
            "length(version) BETWEEN 5 AND 128 "
            f"AND ltrim(version, '0123456789.-{LETTERS}{LETTERS.upper()}') = ''",
            name=op.f("ck_release_version_form"),
        ),
        digest_check("release", "digest"),
        count_check("release", "size"),
        digest_check("release", "base_root"),
        count_check("release", "payload_bytes"),
        *boolean_check("release", "yanked"),
        sa.CheckConstraint(
            "(yanked AND yanked_at IS NOT NULL) "
            "OR (NOT yanked AND yanked_at IS NULL AND yank_reason = '')",
            name=op.f("ck_release_yank_is_whole"),
        ),
    ]


def create_release_blob() -> None:
    op.create_table(
        "release_blob",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        count_check("release_blob", "position"),
        sa.PrimaryKeyConstraint("release_id", "position", name=op.f("pk_release_blob")),
        sa.ForeignKeyConstraint(
            ["release_id"], ["release.id"], name=op.f("fk_release_blob_release_id_release")
        ),
        sa.ForeignKeyConstraint(
            ["digest"], ["blob.digest"], name=op.f("fk_release_blob_digest_blob")
        ),
    )
    op.create_index(op.f("ix_release_blob_digest"), "release_blob", ["digest"])


def downgrade() -> None:
    op.drop_table("release_blob")
    op.drop_table("release")
    op.drop_table("blob")
    op.drop_table("skill")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION skillpm_refuse")
