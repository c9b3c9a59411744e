"""A saved plan: what an environment is to become, and from what state that was planned."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.fields import WHOLE, DigestField, Document, read_document
from skillpm.spec.lockfile import Lockfile, check_lockfile
from skillpm.spec.project import ProjectRequirement, SkillKey

_ACTION_LIMIT = 2000


def _shown(text: str) -> str:
    if not text.isprintable() or not 0 < len(text) <= _ACTION_LIMIT:
        raise ValueError("expected one printable line")
    return text


class Basis(Document):
    """The state that a plan was made from; None for a file that was not there."""

    generation: Annotated[int, Field(ge=0)]
    base_root: DigestField
    project_file: DigestField
    lock: DigestField | None

    def changes(self, now: "Basis") -> list[str]:
        """What differs now, in clauses; empty where the plan still holds."""
        found: list[str] = []
        if now.base_root != self.base_root:
            found.append(f"the base was `{self.base_root}` and is `{now.base_root}`")
        if now.generation != self.generation:
            found.append(f"the generation was {self.generation} and is {now.generation}")
        if now.lock != self.lock:
            found.append(_changed("skillpm.lock", self.lock, now.lock))
        if now.project_file != self.project_file:
            found.append("skillpm.toml has changed")
        return found


def _changed(name: str, before: Digest | None, now: Digest | None) -> str:
    verb = "is new" if before is None else "is gone" if now is None else "has changed"
    return f"{name} {verb}"


class PlannedFile(Document):
    """A pack file that carrying out the plan publishes first."""

    path: str
    digest: DigestField


class SavedPlan(Document):
    """The `plan` of a `--dry-run --json`: `lock` is what is to be locked, `wishes` `[skills]`.

    A `frozen` plan leaves skillpm.lock as it is; `wishes` of None leave skillpm.toml.
    """

    format: Annotated[Literal[1], WHOLE] = 1
    action: Annotated[str, AfterValidator(_shown)]
    basis: Basis
    lock: Lockfile
    wishes: dict[SkillKey, ProjectRequirement] | None = None
    files: list[PlannedFile] = Field(default_factory=list)
    frozen: bool = False

    @property
    def skills_table(self) -> dict[str, Any] | None:
        """`[skills]` as plain values."""
        if self.wishes is None:
            return None
        return {name: wish.model_dump(exclude_none=True) for name, wish in self.wishes.items()}


class _PlanDocument(Document):
    """What `--dry-run --json` prints, as far as it is read."""

    schema_version: Annotated[Literal[1], WHOLE]
    plan: SavedPlan


def parse_plan(data: bytes, what: str) -> SavedPlan:
    """Read the document of a `--dry-run --json`; raise `SpecError` with every problem."""
    document = read_document(_PlanDocument, json.parse_object(data, what), what)
    check_lockfile(document.plan.lock, f"the lock of {what}")
    return document.plan
