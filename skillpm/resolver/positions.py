"""Sets of releases as bit sets of positions: the ranges that PubGrub works on."""

from dataclasses import dataclass
from typing import Self

from nab_resolver.types import RangeRelation


@dataclass(frozen=True, slots=True, repr=False)
class Positions:
    """A set of positions as the bits of an integer. A negative integer is an infinite set.

    A version is represented by its position in the sorted list of releases. Intervals of versions
    would not do: ranges in Cargo's grammar have gaps (prereleases), and equal sets need equal
    representations. Implements nab-resolver's `RangeProtocol[int]`. Each operation is a single
    integer operation.
    """

    bits: int

    def __repr__(self) -> str:
        """A fixed text. PubGrub's own report prints its ranges, which can be very long."""
        return "<positions>"

    @classmethod
    def empty(cls) -> Self:
        """The empty set."""
        return cls(0)

    @classmethod
    def full(cls) -> Self:
        """The set of all positions."""
        return cls(-1)

    @classmethod
    def singleton(cls, version: int) -> Self:
        """The set of one position."""
        return cls(1 << version)

    @property
    def is_empty(self) -> bool:
        """Whether the set is empty."""
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
        """Whether every position of this set is in `other`."""
        return not self.bits & ~other.bits

    def is_superset(self, other: Self) -> bool:
        """Whether every position of `other` is in this set."""
        return not other.bits & ~self.bits

    def is_disjoint(self, other: Self) -> bool:
        """Whether the two sets have no position in common."""
        return not self.bits & other.bits

    def relation(self, other: Self) -> RangeRelation:
        """Whether this set is a subset of `other`, disjoint, both (if empty) or neither."""
        if self.is_subset(other):
            return RangeRelation.SUBSET if self.bits else RangeRelation.EMPTY
        disjoint = self.is_disjoint(other)
        return RangeRelation.DISJOINT if disjoint else RangeRelation.OVERLAPPING


def bits_of(positions: object) -> int:
    """The bits of a range that PubGrub returns. Raises `TypeError` for other types of range."""
    if not isinstance(positions, Positions):
        raise TypeError(positions)
    return positions.bits


def positions_in(bits: int) -> list[int]:
    """The positions of a finite set, ascending. Linear in the highest position."""
    if not bits & (bits - 1):
        return [bits.bit_length() - 1] if bits else []
    digits = f"{bits:b}"[::-1]
    return [position for position, digit in enumerate(digits) if digit == "1"]
