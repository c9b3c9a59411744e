"""A table of advisories in OSV form. Advisories are withdrawn, and never deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEPT = """CREATE TRIGGER advisory_is_kept BEFORE DELETE ON advisory
BEGIN SELECT RAISE(ABORT, 'an advisory is withdrawn, never deleted'); END"""
NAMED = """CREATE TRIGGER advisory_keeps_its_id BEFORE UPDATE OF id, published_at ON advisory
BEGIN SELECT RAISE(ABORT, 'an advisory keeps its identifier'); END"""
# SQLite's REPLACE deletes the old row without running delete triggers.
NOT_REPLACED = """CREATE TRIGGER advisory_is_not_replaced BEFORE INSERT ON advisory
WHEN EXISTS (SELECT 1 FROM advisory WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'an advisory is changed in place'); END"""
REFUSING = "EXECUTE FUNCTION skillpm_refuse('an advisory is withdrawn, never deleted')"
TRIGGERS = {
    "sqlite": (KEPT, NAMED, NOT_REPLACED),
    "postgresql": (
        f"CREATE TRIGGER advisory_is_kept BEFORE DELETE ON advisory FOR EACH ROW {REFUSING}",
        f"CREATE TRIGGER advisory_is_not_emptied BEFORE TRUNCATE ON advisory {REFUSING}",
        (
            "CREATE TRIGGER advisory_keeps_its_id BEFORE UPDATE OF id, published_at ON advisory "
            "FOR EACH ROW EXECUTE FUNCTION skillpm_refuse('an advisory keeps its identifier')"
        ),
    ),
}


def upgrade() -> None:
    op.create_table(
        "advisory",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(id) BETWEEN 1 AND 128", name=op.f("ck_advisory_id_form")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisory")),
    )
    for trigger in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(trigger)


def downgrade() -> None:
    op.drop_table("advisory")
