"""`[audit]` of skillpm.toml: what an audit fails on, which licences go, and what is put aside."""

from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, model_validator

from skillpm.spec.advisory import Level
from skillpm.spec.fields import Document, SkillNameField


def _reason(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a reason")
    return text


def _day(plain: Any) -> Any:
    """A date as TOML has it, or as text."""
    if isinstance(plain, str):
        try:
            return date.fromisoformat(plain)
        except ValueError as problem:
            raise ValueError(f"expected a day like 2030-01-31, found {plain!r}") from problem
    return plain


class Licences(Document):
    """SPDX identifiers: with `allow`, nothing else goes; what `deny` has never goes."""

    allow: list[str] = Field(default_factory=list)
    deny: list[str] = Field(default_factory=list)


class Ignore(Document):
    """A finding that is put aside for a time: by code or advisory, for one skill or for all."""

    code: str | None = None
    id: str | None = None
    skill: SkillNameField | None = None
    reason: Annotated[str, AfterValidator(_reason)]
    until: Annotated[date, BeforeValidator(_day)]

    @model_validator(mode="after")
    def _names_something(self) -> "Ignore":
        if self.code is None and self.id is None:
            raise ValueError("expected `code` or `id`: what is ignored")
        return self


class AuditTable(Document):
    """`[audit]`."""

    fail_on: Annotated[Level | None, Field(validation_alias=AliasChoices("fail-on", "fail_on"))] = (
        None
    )
    licenses: Licences = Licences()
    ignore: list[Ignore] = Field(default_factory=list)
