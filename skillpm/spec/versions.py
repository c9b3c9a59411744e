"""Versions by SemVer 2.0.0, ordered by a precomputed key."""

from dataclasses import dataclass, field

from skillpm.errors import SpecError

LENGTH_LIMIT = 128

PreKey = tuple[tuple[int, int, str], ...]
Key = tuple[int, int, int, int, PreKey]


def _pre_key(identifier: str) -> tuple[int, int, str]:
    return (0, int(identifier), "") if identifier.isdigit() else (1, 0, identifier)


def version_key(major: int, minor: int, patch: int, pre: tuple[str, ...]) -> Key:
    """The sort key by SemVer, section 11: a prerelease is lower than its release."""
    return (major, minor, patch, 0 if pre else 1, tuple(map(_pre_key, pre)))


def _refusal(text: str) -> SpecError:
    return SpecError(
        f"{text!r} is not a version: expected SemVer, `MAJOR.MINOR.PATCH`",
        hint="write it like `1.0.0` or `2.1.0-rc.1`",
    )


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """A SemVer version. Build metadata is printed, but ignored by comparisons."""

    key: Key
    major: int = field(compare=False)
    minor: int = field(compare=False)
    patch: int = field(compare=False)
    pre: tuple[str, ...] = field(compare=False, default=())
    build: str = field(compare=False, default="")

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Read `MAJOR.MINOR.PATCH[-PRE][+BUILD]`. Raises `SpecError`."""
        import semver  # takes 7 ms, which `--help` saves

        if not text.isascii() or len(text) > LENGTH_LIMIT:
            raise _refusal(text[:LENGTH_LIMIT])
        try:
            parsed = semver.Version.parse(text)
        except ValueError as problem:
            raise _refusal(text) from problem
        pre = tuple(parsed.prerelease.split(".")) if parsed.prerelease else ()
        return cls.of(parsed.major, parsed.minor, parsed.patch, pre=pre, build=parsed.build or "")

    @classmethod
    def of(
        cls, major: int, minor: int, patch: int, *, pre: tuple[str, ...] = (), build: str = ""
    ) -> "Version":
        """The version with these parts."""
        return cls(version_key(major, minor, patch, pre), major, minor, patch, pre, build)

    @property
    def triple(self) -> tuple[int, int, int]:
        """Major, minor, patch."""
        return (self.major, self.minor, self.patch)

    @property
    def is_prerelease(self) -> bool:
        """Whether the version is a prerelease."""
        return bool(self.pre)

    def __str__(self) -> str:
        pre = f"-{'.'.join(self.pre)}" if self.pre else ""
        return (
            f"{self.major}.{self.minor}.{self.patch}{pre}{f'+{self.build}' if self.build else ''}"
        )


def is_version(text: str) -> bool:
    """Whether `text` is a full version: three numbers, without an operator."""
    try:
        Version.parse(text)
    except SpecError:
        return False
    return True
