"""Advisories in OSV format: which releases of which skills are bad, and how severe it is.

Reads the parts of the Open Source Vulnerability format (schema 1.6) that concern skills: packages
of the ecosystem `skillpm`, ranges of type SEMVER, and lists of versions. Other parts are kept, but
not interpreted.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from skillpm.errors import Problems, SpecError
from skillpm.spec import json
from skillpm.spec.fields import (
    Document,
    SkillNameField,
    VersionField,
    collect,
    empty_dict,
    empty_list,
)
from skillpm.spec.levels import LEVELS, Level
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version

ECOSYSTEM = "skillpm"
_WORDS: dict[str, Level] = {"moderate": "medium", **{level: level for level in LEVELS}}
_SCORES: tuple[tuple[float, Level], ...] = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"))
UNRATED: Level = "high"
"""The severity of an advisory that states none."""


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment.astimezone(UTC)  # a time at the end of the calendar has none in UTC
    except (ValueError, OverflowError) as problem:
        raise ValueError(f"expected a time like 2026-01-31T12:00:00Z, found {text!r}") from problem
    if moment.tzinfo is None:
        raise ValueError(f"expected a time in UTC like 2026-01-31T12:00:00Z, found {text!r}")
    return text


Moment = Annotated[str, AfterValidator(_moment)]


def _start(value: Any) -> Any:
    """Parse a version. OSV writes `0` for the start of a range that has no first version."""
    if not isinstance(value, str) or value == "0":
        return value
    try:
        return Version.parse(value)
    except SpecError as problem:
        raise ValueError(problem.message) from problem


class Event(Document):
    """The start or the end of a range. Exactly one field is set."""

    introduced: Annotated[VersionField | Literal["0"] | None, BeforeValidator(_start)] = None
    fixed: VersionField | None = None
    last_affected: VersionField | None = None

    @model_validator(mode="after")
    def _has_one_version(self) -> "Event":
        versions = (self.introduced, self.fixed, self.last_affected)
        if sum(version is not None for version in versions) != 1:
            raise ValueError("expected exactly one of `introduced`, `fixed` and `last_affected`")
        return self


class Range(Document):
    """A range of versions, given by events."""

    type: Literal["SEMVER"]
    events: Annotated[list[Event], Field(min_length=1)]

    def holds(self, version: Version) -> bool:
        """Whether a version is affected: the last event at or below the version decides."""
        affected = False
        boundaries = sorted(
            self._boundaries(),
            key=lambda boundary: (boundary[0] is not None, boundary[0] or version),
        )
        for at, kind in boundaries:
            if at is None or at < version or (at == version and kind != "last_affected"):
                affected = kind == "introduced"
        return affected

    def _boundaries(self) -> Iterator[tuple[Version | None, str]]:
        for event in self.events:
            if event.introduced is not None:
                start = None if isinstance(event.introduced, str) else event.introduced
                yield start, "introduced"
            elif event.fixed is not None:
                yield event.fixed, "fixed"
            else:
                yield event.last_affected, "last_affected"


class Package(Document):
    """The package that an entry of `affected` names."""

    ecosystem: str
    name: str


class Affected(Document):
    """An entry of `affected`: a package and its affected versions, for any ecosystem."""

    package: Package
    ranges: list[dict[str, Any]] = Field(default_factory=empty_list)
    versions: list[str] = Field(default_factory=empty_list)


class AffectedSkill(Document):
    """An entry of `affected` about a skill, with parsed names and versions."""

    name: SkillNameField
    ranges: list[Range] = Field(default_factory=empty_list)
    versions: list[VersionField] = Field(default_factory=empty_list)

    def holds(self, version: Version) -> bool:
        """Whether a version is affected: listed, or in a range."""
        listed = version in self.versions
        return listed or any(range_.holds(version) for range_ in self.ranges)


class Advisory(Document):
    """An OSV document."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    modified: Moment
    summary: str = ""
    details: str = ""
    aliases: list[str] = Field(default_factory=empty_list)
    withdrawn: Moment | None = None
    severity: list[dict[str, Any]] = Field(default_factory=empty_list)
    affected: list[Affected] = Field(default_factory=empty_list)
    database_specific: dict[str, Any] = Field(default_factory=empty_dict)

    @property
    def level(self) -> Level:
        """The severity: stated as a word, else derived from a score of 0 to 10, else `UNRATED`."""
        word = self.database_specific.get("severity")
        if isinstance(word, str) and word.lower() in _WORDS:
            return _WORDS[word.lower()]
        for rating in self.severity:
            try:
                score = float(rating.get("score", ""))
            except (TypeError, ValueError, OverflowError):
                continue
            return next((level for least, level in _SCORES if score >= least), "low")
        return UNRATED

    @property
    def modified_at(self) -> datetime:
        """The time of the last change."""
        return datetime.fromisoformat(self.modified)

    def withdrawn_at(self, now: datetime) -> "Advisory":
        """The same advisory, withdrawn at `now`."""
        moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.model_copy(update={"withdrawn": moment, "modified": moment})

    def canonical(self) -> bytes:
        """The document as it was read, in canonical JSON."""
        return json.canonical(self.model_dump(mode="json", by_alias=True, exclude_unset=True))

    @property
    def names(self) -> frozenset[str]:
        """The identifier and the aliases."""
        return frozenset({self.id, *self.aliases})

    @cached_property
    def _readable(self) -> list[AffectedSkill]:
        return self._entries(None)

    def skills(self, problems: Problems | None = None) -> list[AffectedSkill]:
        """The valid entries about skills. The problems of invalid ones are added to `problems`.

        Without `problems`, the result is cached.
        """
        return self._readable if problems is None else self._entries(problems)

    def _entries(self, problems: Problems | None) -> list[AffectedSkill]:
        skills: list[AffectedSkill] = []
        for number, entry in enumerate(self.affected):
            if entry.package.ecosystem.lower() != ECOSYSTEM:
                continue
            ranges = [r for r in entry.ranges if r.get("type") not in ("GIT", "ECOSYSTEM")]
            plain = {"name": entry.package.name, "ranges": ranges, "versions": entry.versions}
            here = Problems(f"affected[{number}] of `{self.id}`")
            skill = collect(AffectedSkill, plain, here)
            if problems is not None:
                problems.extend((f"affected[{number}]", why) for why in here.found)
            if skill is not None:
                skills.append(skill)
        return skills

    def fixed_in(self, skill: SkillName, version: Version) -> Version | None:
        """The lowest version above `version` in which the problem is fixed; None if unknown."""
        events = (e for s in self.skills() if s.name == skill for r in s.ranges for e in r.events)
        fixes = {event.fixed for event in events if event.fixed is not None}
        return min((fix for fix in fixes if fix > version), default=None)

    def affects(self, skill: SkillName, version: Version) -> bool:
        """Whether a release is affected. A withdrawn advisory affects none."""
        if self.withdrawn is not None:
            return False
        return any(entry.name == skill and entry.holds(version) for entry in self.skills())


def parse_advisories(data: bytes, what: str) -> list[Advisory]:
    """Read an OSV document or a list of them. Raises `SpecError` with every problem."""
    plain = json.parse(data, what)
    documents: Sequence[Any] = plain if isinstance(plain, list) else [plain]
    problems, advisories = Problems(what), list[Advisory]()
    for number, document in enumerate(documents):
        here = Problems(what)
        advisory = collect(Advisory, document, here)
        if advisory is not None:
            advisory.skills(here)
            advisories.append(advisory)
        problems.extend(
            (f"[{number}]" if isinstance(plain, list) else "", why) for why in here.found
        )
    problems.raise_if_any(hint="an advisory is a JSON document in OSV format")
    seen: set[str] = set()
    for advisory in advisories:
        if advisory.id in seen:
            raise SpecError(f"{what} has a duplicate advisory `{advisory.id}`")
        seen.add(advisory.id)
    return advisories
