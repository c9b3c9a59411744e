"""Requirements: a skill, and Cargo's grammar of version ranges.

`^1.2` (also bare `1.2`), `~1.2`, `=1.2`, `<`, `>`, `<=`, `>=`, `*`, `1.*`; a comma means and. A
prerelease matches only where a comparator names a prerelease of the same triple.
"""

import re
from dataclasses import dataclass, replace

from skillpm.errors import SpecError
from skillpm.spec.names import SkillName
from skillpm.spec.versions import LENGTH_LIMIT, Key, Version, is_version, version_key

_COMPARATOR = re.compile(
    r"\s*(\^|~|=|<=|>=|<|>)?\s*([0-9]+|[*xX])(?:\.([0-9]+|[*xX]))?(?:\.([0-9]+|[*xX]))?"
    r"(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\s*",
    re.ASCII,
)
_WILD = frozenset("*xX")
_LIMIT = 512
TOP: Key = (10**LENGTH_LIMIT, 0, 0, 0, ())
BOTTOM: Key = (0, 0, 0, 0, ())


@dataclass(frozen=True, slots=True)
class Comparator:
    """One comparator, as the half-open interval of keys [low, high) that it admits.

    `triple` is set where it names a prerelease: the only triple whose prereleases it admits.
    """

    low: Key
    high: Key
    triple: tuple[int, int, int] | None = None


def _below(major: int, minor: int = 0, patch: int = 0) -> Key:
    """The key under every version of the triple, prereleases too."""
    return (major, minor, patch, -1, ())


def _above(key: Key) -> Key:
    """The least key over `key`: nothing lies between the two."""
    major, minor, patch, rank, pre = key
    return (major, minor, patch, rank, (*pre, (-1, 0, "")))


def _caret_top(parts: tuple[int, ...]) -> Key:
    for position, part in enumerate(parts):
        if part or position == len(parts) - 1:
            return _bumped(parts[: position + 1])
    raise AssertionError


def _bumped(parts: tuple[int, ...]) -> Key:
    major, minor, patch = (*parts[:-1], parts[-1] + 1, 0, 0)[:3]
    return _below(major, minor, patch)


def _interval(operator: str, parts: tuple[int, ...], pre: tuple[str, ...]) -> tuple[Key, Key]:
    whole = len(parts) == 3  # noqa: PLR2004 - a version has three numbers
    major, minor, patch = (*parts, 0, 0)[:3]
    low = version_key(major, minor, patch, pre) if whole else _below(*parts)
    after = _above(low) if whole else _bumped(parts)
    intervals = {
        "=": (low, after),
        ">": (after, TOP),
        ">=": (low, TOP),
        "<": (BOTTOM, low),
        "<=": (BOTTOM, after),
        "~": (low, _bumped(parts[:2])),
        "^": (low, _caret_top(parts)),
    }
    return intervals[operator]


def _numbers(groups: tuple[str | None, ...], text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    wild = False
    for group in groups:
        if group is None:
            continue
        wild = wild or group in _WILD
        if not wild:
            if len(group) > 1 and group.startswith("0"):
                raise _refusal(text, "a number has a leading zero")
            numbers.append(int(group))
        elif group not in _WILD:
            raise _refusal(text, "a number stands behind a wildcard")
    return tuple(numbers)


def _refusal(text: str, why: str) -> SpecError:
    return SpecError(
        f"{text!r} is not a version requirement: {why}",
        hint="write it like `^1.2`, `~1.2.3`, `=1.0.0` or `>=1.2, <2`",
    )


def _comparator(text: str) -> Comparator:
    if text.strip().startswith("=="):
        exact = f"={text.strip().lstrip('=').strip()}"
        raise SpecError(f"{text!r} is not a version requirement", hint=f"write `{exact}`")
    found = _COMPARATOR.fullmatch(text)
    if found is None:
        raise _refusal(text, "a comparator is an operator and a version")
    operator, pre_text = found[1] or "", found[5]
    groups = (found[2], found[3], found[4])
    parts = _numbers(groups, text)
    if pre_text is not None:
        if len(parts) < 3:  # noqa: PLR2004 - a version has three numbers
            raise _refusal(text, "a prerelease needs all three numbers")
        Version.parse(f"{parts[0]}.{parts[1]}.{parts[2]}-{pre_text}")
    if any(group in _WILD for group in groups if group):
        if operator not in ("", "="):
            raise _refusal(text, f"`{operator}` does not go with a wildcard")
        operator = "="
    if not parts:
        return Comparator(BOTTOM, TOP)
    pre = tuple(pre_text.split(".")) if pre_text else ()
    low, high = _interval(operator or "^", parts, pre)
    return Comparator(low, high, (parts[0], parts[1], parts[2]) if pre else None)


@dataclass(frozen=True, slots=True)
class VersionRange:
    """A conjunction of comparators; `str` gives the text it was read from, on one line."""

    text: str
    comparators: tuple[Comparator, ...]

    @classmethod
    def parse(cls, text: str) -> "VersionRange":
        """Read Cargo's grammar; empty means any. Raises `SpecError` with what is wrong."""
        if len(text) > _LIMIT:
            raise _refusal(text[:40], f"it is longer than {_LIMIT} characters")
        stripped = " ".join(text.split())
        if stripped in ("", "*"):
            return ANY
        return cls(stripped, tuple(_comparator(part) for part in stripped.split(",")))

    @property
    def interval(self) -> tuple[Key, Key]:
        """The half-open interval of keys [low, high) that all comparators admit."""
        low = max((c.low for c in self.comparators), default=BOTTOM)
        return low, min((c.high for c in self.comparators), default=TOP)

    @property
    def prerelease_triples(self) -> frozenset[tuple[int, int, int]]:
        """The triples whose prereleases are admitted."""
        return frozenset(c.triple for c in self.comparators if c.triple)

    def __contains__(self, version: Version) -> bool:
        low, high = self.interval
        if not low <= version.key < high:
            return False
        return not version.is_prerelease or version.triple in self.prerelease_triples

    def __str__(self) -> str:
        return self.text


ANY = VersionRange("*", ())


@dataclass(frozen=True, slots=True)
class Requirement:
    """A skill and the versions of it that will do; printed as `acme/math ^1.2`."""

    skill: SkillName
    range: VersionRange = ANY

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """Read `acme/math`, `acme/math ^1.2` or `acme/math@^1.2`. Raises `SpecError`.

        `acme/math@1.2.0`, a full version without an operator, is a REF: exactly that release.
        """
        head, at, tail = text.strip().partition("@")
        if not at:
            head, _, tail = text.strip().partition(" ")
        elif is_version(tail.strip()):
            tail = f"={tail.strip()}"
        return cls(SkillName.parse(head.strip()), VersionRange.parse(tail))

    @classmethod
    def exact(cls, skill: SkillName, version: Version) -> "Requirement":
        """Exactly this release."""
        bare = replace(version, build="")
        return cls(skill, VersionRange.parse(f"={bare}"))

    def admits(self, skill: SkillName, version: Version) -> bool:
        """Whether the release is one of those that will do."""
        return skill == self.skill and version in self.range

    def __str__(self) -> str:
        return str(self.skill) if self.range == ANY else f"{self.skill} {self.range}"
