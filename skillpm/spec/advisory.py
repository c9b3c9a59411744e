"""Advisories in OSV form: which releases of which skills are bad, and how badly.

Of the Open Source Vulnerability format (schema 1.6) what concerns skills is read: packages of the
ecosystem `skillpm`, ranges of type SEMVER, and lists of versions. Anything else is kept, unread.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from skillpm.errors import Problems, SpecError
from skillpm.spec import json
from skillpm.spec.fields import Document, SkillNameField, VersionField, collect
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version

ECOSYSTEM = "skillpm"
Level = Literal["low", "medium", "high", "critical"]
LEVELS: tuple[Level, ...] = ("low", "medium", "high", "critical")
_WORDS: dict[str, Level] = {"moderate": "medium", **{level: level for level in LEVELS}}
_SCORES: tuple[tuple[float, Level], ...] = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"))
UNRATED: Level = "high"
"""An advisory that does not say how bad it is is taken seriously."""


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


class Event(Document):
    """Where a range begins or ends: exactly one of the three."""

    introduced: VersionField | Literal["0"] | None = None
    fixed: VersionField | None = None
    last_affected: VersionField | None = None

    @model_validator(mode="after")
    def _one(self) -> "Event":
        if sum(one is not None for one in (self.introduced, self.fixed, self.last_affected)) != 1:
            raise ValueError("expected one of `introduced`, `fixed` and `last_affected`")
        return self


class Range(Document):
    """Versions between events."""

    type: Literal["SEMVER"]
    events: Annotated[list[Event], Field(min_length=1)]

    def holds(self, version: Version) -> bool:
        """Whether a version is affected: the last event at or below it decides."""
        affected = False
        turns = sorted(self._turns(), key=lambda turn: (turn[0] is not None, turn[0] or version))
        for at, kind in turns:
            if at is None or at < version or (at == version and kind != "last_affected"):
                affected = kind == "introduced"
        return affected

    def _turns(self) -> Iterator[tuple[Version | None, str]]:
        for event in self.events:
            if event.introduced is not None:
                start = None if isinstance(event.introduced, str) else event.introduced
                yield start, "introduced"
            elif event.fixed is not None:
                yield event.fixed, "fixed"
            else:
                yield event.last_affected, "last_affected"


class Package(Document):
    """What an entry is about."""

    ecosystem: str
    name: str


class Affected(Document):
    """One package, and which of its versions are affected."""

    package: Package
    ranges: list[dict[str, Any]] = Field(default_factory=list)
    versions: list[str] = Field(default_factory=list)


class AffectedSkill(Document):
    """An entry about a skill, read whole."""

    name: SkillNameField
    ranges: list[Range] = Field(default_factory=list)
    versions: list[VersionField] = Field(default_factory=list)

    def holds(self, version: Version) -> bool:
        """Whether a version is listed, or in a range."""
        listed = version in self.versions
        return listed or any(one.holds(version) for one in self.ranges)


class Advisory(Document):
    """One OSV document."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    modified: Moment
    summary: str = ""
    details: str = ""
    aliases: list[str] = Field(default_factory=list)
    withdrawn: Moment | None = None
    severity: list[dict[str, Any]] = Field(default_factory=list)
    affected: list[Affected] = Field(default_factory=list)
    database_specific: dict[str, Any] = Field(default_factory=dict)

    @property
    def level(self) -> Level:
        """How bad it is: by word, else by a score from 0 to 10, else `UNRATED`."""
        word = self.database_specific.get("severity")
        if isinstance(word, str) and word.lower() in _WORDS:
            return _WORDS[word.lower()]
        for one in self.severity:
            try:
                score = float(one.get("score", ""))
            except (TypeError, ValueError, OverflowError):
                continue
            return next((level for least, level in _SCORES if score >= least), "low")
        return UNRATED

    @property
    def modified_at(self) -> datetime:
        """When it was last changed."""
        return datetime.fromisoformat(self.modified)

    def withdrawn_at(self, now: datetime) -> "Advisory":
        """The same advisory, withdrawn now."""
        moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.model_copy(update={"withdrawn": moment, "modified": moment})

    def canonical(self) -> bytes:
        """The document as it came, in canonical JSON."""
        return json.canonical(self.model_dump(mode="json", by_alias=True, exclude_unset=True))

    @property
    def names(self) -> frozenset[str]:
        """Its identifier and its aliases."""
        return frozenset({self.id, *self.aliases})

    @cached_property
    def _readable(self) -> list[AffectedSkill]:
        return self._entries(None)

    def skills(self, problems: Problems | None = None) -> list[AffectedSkill]:
        """The entries about skills that can be read; `problems` notes why others cannot.

        They are read once, however many releases are asked about.
        """
        return self._readable if problems is None else self._entries(problems)

    def _entries(self, problems: Problems | None) -> list[AffectedSkill]:
        found: list[AffectedSkill] = []
        for number, one in enumerate(self.affected):
            if one.package.ecosystem.lower() != ECOSYSTEM:
                continue
            ranges = [r for r in one.ranges if r.get("type") not in ("GIT", "ECOSYSTEM")]
            plain = {"name": one.package.name, "ranges": ranges, "versions": one.versions}
            here = Problems(f"affected[{number}] of `{self.id}`")
            entry = collect(AffectedSkill, plain, here)
            if problems is not None:
                problems.extend((f"affected[{number}]", why) for why in here.found)
            if entry is not None:
                found.append(entry)
        return found

    def fixed_in(self, skill: SkillName, version: Version) -> Version | None:
        """The lowest release above `version` that the ranges call fixed, if they name one."""
        events = (e for s in self.skills() if s.name == skill for r in s.ranges for e in r.events)
        fixes = {event.fixed for event in events if event.fixed is not None}
        return min((fix for fix in fixes if fix > version), default=None)

    def affects(self, skill: SkillName, version: Version) -> bool:
        """Whether a release is affected; never where the advisory was withdrawn."""
        if self.withdrawn is not None:
            return False
        return any(one.name == skill and one.holds(version) for one in self.skills())


def parse_advisories(data: bytes, what: str) -> list[Advisory]:
    """Read one OSV document, or a list of them; raise `SpecError` with every problem's path."""
    plain = json.parse(data, what)
    documents: Sequence[Any] = plain if isinstance(plain, list) else [plain]
    problems, found = Problems(what), list[Advisory]()
    for number, one in enumerate(documents):
        here = Problems(what)
        advisory = collect(Advisory, one, here)
        if advisory is not None:
            advisory.skills(here)
            found.append(advisory)
        problems.extend(
            (f"[{number}]" if isinstance(plain, list) else "", why) for why in here.found
        )
    problems.raise_if_any(hint="an advisory is a document in OSV form, ossf.github.io/osv-schema")
    seen: set[str] = set()
    for advisory in found:
        if advisory.id in seen:
            raise SpecError(f"{what} has the advisory `{advisory.id}` twice")
        seen.add(advisory.id)
    return found
