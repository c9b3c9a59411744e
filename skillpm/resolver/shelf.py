"""One skill's releases in order of version, and which of them may be chosen."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

from skillpm.resolver.positions import places
from skillpm.resolver.question import Question
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.requirements import VersionRange
from skillpm.spec.versions import Key


@dataclass(frozen=True)
class ReleaseSet:
    """All releases of one skill, ascending; sets of them are bits by position.

    `usable` may be chosen; `foreign` are left out for their base alone, `hidden` for a yank.
    """

    skill: SkillName
    releases: tuple[Release, ...]
    usable: int
    foreign: int
    hidden: int
    locked: int
    keys: tuple[Key, ...] = field(repr=False)
    prereleases: int = field(repr=False)
    lowest: bool = False
    _admitted: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def nowhere(self) -> int:
        """A position that no release has: what a range that matches nothing admits.

        PubGrub takes a set with a member that never can be chosen; an empty set in a clause would
        say nothing.
        """
        return 1 << len(self.releases)

    @property
    def everything(self) -> int:
        """All releases, usable or not."""
        return self.nowhere - 1

    def admitted(self, wanted: VersionRange) -> int:
        """The releases that `wanted` admits, usable or not. Logarithmic, then remembered."""
        known = self._admitted.get(wanted.text)
        if known is None:
            known = self._admitted[wanted.text] = self._read(wanted)
        return known

    def within(self, wanted: VersionRange) -> int:
        """The releases between the ends of `wanted`, prereleases too."""
        low, high = (bisect_left(self.keys, end) for end in wanted.interval)
        return (1 << high) - (1 << low) if low < high else 0

    def _read(self, wanted: VersionRange) -> int:
        bits = self.within(wanted)
        for place in places(bits & self.prereleases):
            if self.releases[place].version not in wanted:
                bits &= ~(1 << place)
        return bits

    def best(self, bits: int) -> int | None:
        """The position to choose among `bits`: the locked release, else the newest usable.

        With `lowest`, the lowest instead of the newest.
        """
        choice = bits & self.usable & self.locked or bits & self.usable
        if self.lowest:
            choice &= -choice
        return choice.bit_length() - 1 if choice else None

    def newest(self, count: int) -> int:
        """The `count` newest usable releases, or all where there are no more."""
        older = self.usable
        for _ in range(count):
            older &= (1 << older.bit_length() >> 1) - 1
            if not older:
                break
        return self.usable & ~older

    def place(self, release: Release) -> int:
        """The position of one of the releases. Logarithmic."""
        place = bisect_left(self.keys, release.version.key)
        while self.releases[place] is not release:  # equal versions differ in build metadata
            place += 1
        return place

    def of(self, bits: int) -> list[Release]:
        """The releases at these positions, ascending."""
        return [self.releases[place] for place in places(bits & self.everything)]


def shelve(
    question: Question, skill: SkillName, releases: Iterable[Release], *, any_base: bool
) -> ReleaseSet:
    """Sort a skill's releases and set apart those that the question leaves out.

    With `any_base`, none is left out for its base. The order in which releases come, and build
    metadata, change nothing.
    """
    ordered = tuple(sorted(releases, key=lambda r: (r.version, r.version.build, str(r.digest))))
    hidden = _bits(question.hides(release) for release in ordered)
    foreign = 0 if any_base else _bits(question.excludes_base_of(release) for release in ordered)
    below = _bits(question.goes_back(release) for release in ordered)
    return ReleaseSet(
        skill,
        ordered,
        usable=(1 << len(ordered)) - 1 & ~hidden & ~foreign & ~below,
        foreign=foreign & ~hidden,
        hidden=hidden,
        locked=_bits(question.locked.get(skill) == release.version for release in ordered),
        keys=tuple(release.version.key for release in ordered),
        prereleases=_bits(release.version.is_prerelease for release in ordered),
        lowest=question.lowest,
    )


def _bits(flags: Iterable[bool]) -> int:
    return sum(1 << place for place, flag in enumerate(flags) if flag)
