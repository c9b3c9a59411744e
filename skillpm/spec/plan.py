"""A saved plan: the new state of an environment, and the state for which it was planned."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.fields import (
    WHOLE,
    DigestField,
    Document,
    empty_list,
    read_document,
)
from skillpm.spec.lockfile import Lockfile, check_lockfile
from skillpm.spec.project import ProjectRequirement, SkillKey

_ACTION_LIMIT = 2000


def _printable(text: str) -> str:
    if not text.isprintable() or not 0 < len(text) <= _ACTION_LIMIT:
        raise ValueError(f"expected 1 to {_ACTION_LIMIT} printable characters")
    return text


class Basis(Document):
    """The state for which a plan was made. `lock` is None if there was no lockfile."""

    generation: Annotated[int, Field(ge=0)]
    base_root: DigestField
    project_file: DigestField
    lock: DigestField | None

    def changes(self, now: "Basis") -> list[str]:
        """A clause for each difference between this state and `now`; empty if they are equal."""
        changes: list[str] = []
        if now.base_root != self.base_root:
            changes.append(f"the base was `{self.base_root}` and is now `{now.base_root}`")
        if now.generation != self.generation:
            changes.append(f"the generation was {self.generation} and is now {now.generation}")
        if now.lock != self.lock:
            changes.append(_changed("skillpm.lock", self.lock, now.lock))
        if now.project_file != self.project_file:
            changes.append("skillpm.toml has changed")
        return changes


def _changed(name: str, before: Digest | None, now: Digest | None) -> str:
    verb = "is new" if before is None else "was deleted" if now is None else "has changed"
    return f"{name} {verb}"


class PlannedFile(Document):
    """A pack file that `apply` publishes before it installs the plan."""

    path: str
    digest: DigestField


class SavedPlan(Document):
    """The `plan` in the output of `--dry-run --json`.

    `lock` is the new lock. The new `[skills]` table is None if skillpm.toml does not change. A
    `frozen` plan leaves skillpm.lock unchanged.
    """

    format: Annotated[Literal[1], WHOLE] = 1
    action: Annotated[str, AfterValidator(_printable)]
    basis: Basis
    lock: Lockfile
    wishes: dict[SkillKey, ProjectRequirement] | None = None
    files: list[PlannedFile] = Field(default_factory=empty_list)
    frozen: bool = False

    @property
    def skills_table(self) -> dict[str, Any] | None:
        """The new `[skills]` table as plain values; None if it does not change."""
        if self.wishes is None:
            return None
        return {name: entry.model_dump(exclude_none=True) for name, entry in self.wishes.items()}


class PlanDocument(Document):
    """The output of `--dry-run --json`. Other keys are ignored."""

    schema_version: Annotated[Literal[1], WHOLE]
    plan: SavedPlan


def parse_plan(data: bytes, what: str) -> SavedPlan:
    """Read the output of `--dry-run --json`. Raises `SpecError` with every problem."""
    document = read_document(PlanDocument, json.parse_object(data, what), what)
    check_lockfile(document.plan.lock, f"the lock of {what}")
    return document.plan
