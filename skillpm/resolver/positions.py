"""Sets of positions on a release_set: the ranges that PubGrub works on."""

from dataclasses import dataclass
from typing import Self

from nab_resolver.types import RangeRelation


@dataclass(frozen=True, slots=True, repr=False)
class Positions:
    """A set of positions as the bits of one integer; a negative one holds all but finitely many.

    Versions are places in a sorted list here, and not intervals: what Cargo's grammar admits has
    holes (prereleases), and a set of places has one written form, so equal sets are equal. It
    fits nab-resolver's `RangeProtocol[int]` by shape. Every operation is one on an integer.
    """

    bits: int

    def __repr__(self) -> str:
        """A fixed text: PubGrub's own report prints its ranges, and one has a bit a version."""
        return "<positions>"

    @classmethod
    def empty(cls) -> Self:
        """No position."""
        return cls(0)

    @classmethod
    def full(cls) -> Self:
        """Every position there can be."""
        return cls(-1)

    @classmethod
    def singleton(cls, version: int) -> Self:
        """One position."""
        return cls(1 << version)

    @property
    def is_empty(self) -> bool:
        """Whether there is none."""
        return not self.bits

    def __contains__(self, version: int) -> bool:
        return bool(self.bits >> version & 1)

    def __and__(self, other: object) -> Self:
        return type(self)(self.bits & bits_of(other))

    def __or__(self, other: object) -> Self:
        return type(self)(self.bits | bits_of(other))

    def __sub__(self, other: object) -> Self:
        return type(self)(self.bits & ~bits_of(other))

    def __invert__(self) -> Self:
        return type(self)(~self.bits)

    def is_subset(self, other: Self) -> bool:
        """Whether `other` has all of these."""
        return not self.bits & ~other.bits

    def is_superset(self, other: Self) -> bool:
        """Whether these are all that `other` has, or more."""
        return not other.bits & ~self.bits

    def is_disjoint(self, other: Self) -> bool:
        """Whether the two share none."""
        return not self.bits & other.bits

    def relation(self, other: Self) -> RangeRelation:
        """Subset, disjoint, both (where this is empty) or neither."""
        if self.is_subset(other):
            return RangeRelation.SUBSET if self.bits else RangeRelation.EMPTY
        disjoint = self.is_disjoint(other)
        return RangeRelation.DISJOINT if disjoint else RangeRelation.OVERLAPPING


def bits_of(positions: object) -> int:
    """The bits of a range that PubGrub hands back; it only ever holds ours."""
    if not isinstance(positions, Positions):
        raise TypeError(positions)
    return positions.bits


def positions_in(bits: int) -> list[int]:
    """The positions of a finite set, ascending. Linear in its highest one."""
    if not bits & (bits - 1):
        return [bits.bit_length() - 1] if bits else []
    digits = f"{bits:b}"[::-1]
    return [position for position, digit in enumerate(digits) if digit == "1"]
