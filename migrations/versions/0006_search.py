"""One row for each skill to search in, with the full-text index of the database."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

PLAIN_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
FULL_TEXT = {
    # The words are split in Python, so that both databases find the same skills.
    "sqlite": (
        (
            "CREATE VIRTUAL TABLE search_words USING fts5(words, content='search_row', "
            "content_rowid='place', tokenize='unicode61 remove_diacritics 0 tokenchars _', "
            "detail='none', prefix='1 2 3')"
        ),
    ),
    "postgresql": (
        (
            "ALTER TABLE search_row ADD COLUMN word_vector tsvector NOT NULL "
            "GENERATED ALWAYS AS (array_to_tsvector(string_to_array(words, ' '))) STORED"
        ),
        "CREATE INDEX ix_search_row_word_vector ON search_row USING gin (word_vector)",
    ),
}


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    count = "BETWEEN 0 AND 9223372036854775807"
    op.create_table(
        "search_row",
        sa.Column("skill_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("private", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("dependents", sa.BigInteger(), nullable=False),
        sa.Column("result", PLAIN_JSON, nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(f"place {count}", name=op.f("ck_search_row_place_form")),
        sa.CheckConstraint(f"dependents {count}", name=op.f("ck_search_row_dependents_form")),
        *(
            [sa.CheckConstraint("private IN (0, 1)", name=op.f("ck_search_row_private_form"))]
            if dialect == "sqlite"
            else []
        ),
        sa.PrimaryKeyConstraint("skill_id", name=op.f("pk_search_row")),
        sa.UniqueConstraint("place", name=op.f("uq_search_row_place")),
        sa.ForeignKeyConstraint(
            ["skill_id"], ["skill.id"], name=op.f("fk_search_row_skill_id_skill")
        ),
        sa.ForeignKeyConstraint(
            ["release_id"], ["release.id"], name=op.f("fk_search_row_release_id_release")
        ),
    )
    op.create_index(op.f("ix_search_row_published_at"), "search_row", ["published_at"])
    for statement in FULL_TEXT[dialect]:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE search_words")
    op.drop_table("search_row")
