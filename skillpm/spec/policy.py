"""The `[audit]` table of skillpm.toml: severity threshold, allowed licences, ignored findings."""

from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, model_validator

from skillpm.spec.fields import (
    Document,
    SkillNameField,
    empty_list,
)
from skillpm.spec.levels import Level


def _reason(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a reason")
    return text


def _day(plain: Any) -> Any:
    """Accept a TOML date, or a date as text."""
    if isinstance(plain, str):
        try:
            return date.fromisoformat(plain)
        except ValueError as problem:
            raise ValueError(f"expected a date like 2030-01-31, found {plain!r}") from problem
    return plain


class Licences(Document):
    """SPDX identifiers. If `allow` is set, other licences are denied; `deny` always applies."""

    allow: list[str] = Field(default_factory=empty_list)
    deny: list[str] = Field(default_factory=empty_list)


class Ignore(Document):
    """A finding to ignore until a date: by code or advisory id, for one skill or for all skills."""

    code: str | None = None
    id: str | None = None
    skill: SkillNameField | None = None
    reason: Annotated[str, AfterValidator(_reason)]
    until: Annotated[date, BeforeValidator(_day)]

    @model_validator(mode="after")
    def _names_something(self) -> "Ignore":
        if self.code is None and self.id is None:
            raise ValueError("expected `code` or `id` of the finding to ignore")
        return self


class AuditTable(Document):
    """The `[audit]` table."""

    fail_on: Annotated[Level | None, Field(validation_alias=AliasChoices("fail-on", "fail_on"))] = (
        None
    )
    licenses: Licences = Licences.model_construct()
    ignore: list[Ignore] = Field(default_factory=empty_list)
