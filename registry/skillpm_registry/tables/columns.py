"""Types of columns and constraints that several tables use, on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class PlainJson(TypeDecorator[Any]):
    """A JSON document: JSON in SQLite, JSONB in PostgreSQL."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type in a database. Importing JSONB would load all of PostgreSQL's dialects."""
        names: dict[str, type[TypeEngine[Any]]] = getattr(dialect, "ischema_names", {})
        return dialect.type_descriptor(names.get("jsonb", JSON)())


PLAIN_JSON = PlainJson()
ROW_ID = BigInteger().with_variant(Integer(), "sqlite")
"""A primary key that the database assigns. SQLite assigns only columns of the type INTEGER."""


class UtcTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite stores no time zone, so values that are read get it here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert a time of any zone to UTC. A time without a zone is one that SQLite stored."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Add the time zone that SQLite does not store."""
        del dialect
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC)


def is_digest(column: str) -> CheckConstraint:
    """The constraint that a column is `sha256:` and 64 lower-case hexadecimal digits."""
    return CheckConstraint(
        f"length({column}) = 71 AND substr({column}, 1, 7) = 'sha256:' "
        f"AND ltrim(substr({column}, 8), '0123456789abcdef') = ''",
        name=f"{column}_form",
    )


def is_count(column: str) -> CheckConstraint:
    """The constraint that a column is a number of at least 0.

    The upper bound also refuses text, which SQLite sorts after all numbers.
    """
    return CheckConstraint(f"{column} BETWEEN 0 AND 9223372036854775807", name=f"{column}_form")


def is_half(column: str) -> CheckConstraint:
    """The constraint that a column is a namespace or name of a skill, as far as SQL permits."""
    return CheckConstraint(
        f"length({column}) BETWEEN 1 AND 64 "
        f"AND ltrim({column}, 'abcdefghijklmnopqrstuvwxyz0123456789._-') = '' "
        f"AND trim({column}, '._-') = {column}",
        name=f"{column}_form",
    )


def is_one_of(column: str, *values: str) -> CheckConstraint:
    """The constraint that a column is one of these words."""
    words = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_form")
