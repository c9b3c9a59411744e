"""The releases of one skill in order of version, and which of them may be chosen."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

from skillpm.resolver.positions import positions_in
from skillpm.resolver.question import Question
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.requirements import VersionRange
from skillpm.spec.versions import Key


@dataclass(frozen=True)
class ReleaseSet:
    """All releases of one skill, ascending. Subsets are bit sets of their positions.

    `usable` releases may be chosen. `yanked` ones are excluded as yanked, among them the
    `quarantined` ones, and `wrong_base` ones only because they are built for another base.
    """

    skill: SkillName
    releases: tuple[Release, ...]
    usable: int
    wrong_base: int
    yanked: int
    quarantined: int
    locked: int
    keys: tuple[Key, ...] = field(repr=False)
    prereleases: int = field(repr=False)
    lowest: bool = False
    _admitted: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def no_release(self) -> int:
        """The set of one position that no release has, for a range that matches no release.

        PubGrub needs a set that is not empty: a clause over an empty set would exclude nothing.
        """
        return 1 << len(self.releases)

    @property
    def all_releases(self) -> int:
        """The set of all releases, usable or not."""
        return self.no_release - 1

    def admitted(self, wanted: VersionRange) -> int:
        """The releases that match the range `wanted`, usable or not. Logarithmic; cached."""
        known = self._admitted.get(wanted.text)
        if known is None:
            known = self._admitted[wanted.text] = self._read(wanted)
        return known

    def within(self, wanted: VersionRange) -> int:
        """The releases between the bounds of `wanted`, including all prereleases."""
        low, high = (bisect_left(self.keys, end) for end in wanted.interval)
        return (1 << high) - (1 << low) if low < high else 0

    def _read(self, wanted: VersionRange) -> int:
        bits = self.within(wanted)
        for position in positions_in(bits & self.prereleases):
            if self.releases[position].version not in wanted:
                bits &= ~(1 << position)
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
        """The `count` newest usable releases, or all if there are fewer."""
        older = self.usable
        for _ in range(count):
            older &= (1 << older.bit_length() >> 1) - 1
            if not older:
                break
        return self.usable & ~older

    def position(self, release: Release) -> int:
        """The position of one of the releases. Logarithmic."""
        position = bisect_left(self.keys, release.version.key)
        while self.releases[position] is not release:  # equal versions differ in build metadata
            position += 1
        return position

    def of(self, bits: int) -> list[Release]:
        """The releases at these positions, ascending."""
        return [self.releases[position] for position in positions_in(bits & self.all_releases)]


def make_release_set(
    question: Question, skill: SkillName, releases: Iterable[Release], *, any_base: bool
) -> ReleaseSet:
    """Sort the releases of a skill and classify those that the question excludes.

    With `any_base`, no release is excluded because of its base. The result does not depend on the
    order of `releases` or on build metadata.
    """
    ordered = tuple(sorted(releases, key=lambda r: (r.version, r.version.build, str(r.digest))))
    yanked = _bits(question.excludes_yanked(release) for release in ordered)
    wrong_base = 0 if any_base else _bits(question.excludes_base_of(release) for release in ordered)
    below = _bits(question.excludes_downgrade_to(release) for release in ordered)
    return ReleaseSet(
        skill,
        ordered,
        usable=(1 << len(ordered)) - 1 & ~yanked & ~wrong_base & ~below,
        wrong_base=wrong_base & ~yanked,
        yanked=yanked,
        quarantined=_bits(release.quarantined for release in ordered),
        locked=_bits(question.locked.get(skill) == release.version for release in ordered),
        keys=tuple(release.version.key for release in ordered),
        prereleases=_bits(release.version.is_prerelease for release in ordered),
        lowest=question.lowest,
    )


def _bits(flags: Iterable[bool]) -> int:
    return sum(1 << position for position, flag in enumerate(flags) if flag)
