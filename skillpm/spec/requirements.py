"""Requirements: a skill and a version range in Cargo's grammar.

Comparators are `^1.2` (also written `1.2`), `~1.2`, `=1.2`, `<`, `>`, `<=`, `>=`, `*` and `1.*`. A
comma means "and". A prerelease matches only if a comparator names a prerelease of the same
MAJOR.MINOR.PATCH.
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
    """A comparator as the half-open interval [low, high) of version keys that it matches.

    If it names a prerelease, `triple` is the only MAJOR.MINOR.PATCH whose prereleases it matches.
    """

    low: Key
    high: Key
    triple: tuple[int, int, int] | None = None


def _below(major: int, minor: int = 0, patch: int = 0) -> Key:
    """A key below every version of the triple, including prereleases."""
    return (major, minor, patch, -1, ())


def _above(key: Key) -> Key:
    """The smallest key above `key`: no version is between the two."""
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
            raise _refusal(text, "a number follows a wildcard")
    return tuple(numbers)


def _refusal(text: str, why: str) -> SpecError:
    return SpecError(
        f"{text!r} is not a version requirement: {why}",
        hint="write it like `^1.2`, `~1.2.3`, `=1.0.0` or `>=1.2, <2`",
    )


def _comparator(text: str) -> Comparator:
    if text.strip().startswith("=="):
        exact = f"={text.strip().lstrip('=').strip()}"
        raise SpecError(
            f"{text!r} is not a version requirement: unknown operator `==`", hint=f"write `{exact}`"
        )
    match = _COMPARATOR.fullmatch(text)
    if match is None:
        raise _refusal(text, "expected an operator and a version")
    operator, pre_text = match[1] or "", match[5]
    groups = (match[2], match[3], match[4])
    parts = _numbers(groups, text)
    if pre_text is not None:
        if len(parts) < 3:  # noqa: PLR2004 - a version has three numbers
            raise _refusal(text, "a prerelease needs all three numbers")
        Version.parse(f"{parts[0]}.{parts[1]}.{parts[2]}-{pre_text}")
    if any(group in _WILD for group in groups if group):
        if operator not in ("", "="):
            raise _refusal(text, f"`{operator}` cannot be combined with a wildcard")
        operator = "="
    if not parts:
        return Comparator(BOTTOM, TOP)
    pre = tuple(pre_text.split(".")) if pre_text else ()
    low, high = _interval(operator or "^", parts, pre)
    return Comparator(low, high, (parts[0], parts[1], parts[2]) if pre else None)


@dataclass(frozen=True, slots=True)
class VersionRange:
    """A conjunction of comparators. `str` gives the original text on one line."""

    text: str
    comparators: tuple[Comparator, ...]

    @classmethod
    def parse(cls, text: str) -> "VersionRange":
        """Read a range in Cargo's grammar. Empty text matches any version. Raises `SpecError`."""
        if len(text) > _LIMIT:
            raise _refusal(text[:40], f"longer than {_LIMIT} characters")
        stripped = " ".join(text.split())
        if stripped in ("", "*"):
            return ANY
        return cls(stripped, tuple(_comparator(part) for part in stripped.split(",")))

    @property
    def interval(self) -> tuple[Key, Key]:
        """The half-open interval [low, high) of version keys that all comparators match."""
        low = max((c.low for c in self.comparators), default=BOTTOM)
        return low, min((c.high for c in self.comparators), default=TOP)

    @property
    def prerelease_triples(self) -> frozenset[tuple[int, int, int]]:
        """The triples MAJOR.MINOR.PATCH whose prereleases match."""
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
    """A skill and a version range, printed as `acme/math ^1.2`."""

    skill: SkillName
    range: VersionRange = ANY

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """Read `acme/math`, `acme/math ^1.2` or `acme/math@^1.2`. Raises `SpecError`.

        A full version without an operator, `acme/math@1.2.0`, is a reference to that release.
        """
        head, at, tail = text.strip().partition("@")
        if not at:
            head, _, tail = text.strip().partition(" ")
        elif is_version(tail.strip()):
            tail = f"={tail.strip()}"
        return cls(SkillName.parse(head.strip()), VersionRange.parse(tail))

    @classmethod
    def exact(cls, skill: SkillName, version: Version) -> "Requirement":
        """The requirement that only this release satisfies."""
        bare = replace(version, build="")
        return cls(skill, VersionRange.parse(f"={bare}"))

    def admits(self, skill: SkillName, version: Version) -> bool:
        """Whether the release satisfies this requirement."""
        return skill == self.skill and version in self.range

    def __str__(self) -> str:
        return str(self.skill) if self.range == ANY else f"{self.skill} {self.range}"
