"""The allocation of bytes: for each tensor the candidate that minimises D + λ · bytes.

λ is the price of a byte. The points of a tensor are the vertices of a convex hull, so a falling λ
moves each tensor from one vertex to the next. All these moves, sorted by the distortion that they
remove per byte, are the frontier of the model: the best allocations are its prefixes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from skillpm.delta.auto.points import CandidatePoint, EncodingChoice, lower_hull

Points = Mapping[str, Sequence[CandidatePoint]]


@dataclass(frozen=True)
class Allocation:
    """A choice for each tensor, and the total bytes and distortion."""

    choices: Mapping[str, EncodingChoice]
    size: float
    distortion: float


@dataclass(frozen=True)
class _Move:
    """The step of a tensor from one vertex of its hull to the next."""

    tensor: str
    before: CandidatePoint
    after: CandidatePoint

    @property
    def size(self) -> float:
        return self.after.size - self.before.size

    @property
    def gain(self) -> float:
        """The distortion that it removes."""
        return self.before.distortion - self.after.distortion


@dataclass(frozen=True)
class Frontier:
    """The smallest point of every tensor, and the moves from there, the best ones first."""

    smallest: Mapping[str, CandidatePoint]
    moves: tuple[_Move, ...]

    @classmethod
    def of(cls, points: Points) -> Self:
        """Return the frontier of the points of all tensors."""
        hulls = {tensor: lower_hull(each) for tensor, each in points.items()}
        moves = [_Move(tensor, *pair) for tensor, hull in hulls.items() for pair in pairwise(hull)]
        moves.sort(key=lambda move: -move.gain / move.size)  # stable: a hull keeps its order
        return cls({tensor: hull[0] for tensor, hull in hulls.items()}, tuple(moves))

    def within_bytes(self, budget: float) -> Allocation:
        """Return an allocation of least distortion in at most `budget` bytes.

        A move that does not fit is left out with the later ones of its tensor, and the others fill
        the budget. Returns the smallest allocation if none fits.
        """
        size = sum(point.size for point in self.smallest.values())
        taken: list[_Move] = []
        full = set[str]()
        for move in self.moves:
            if move.tensor in full or size + move.size > budget:
                full.add(move.tensor)
                continue
            size += move.size
            taken.append(move)
        return self._after(taken)

    def within_distortion(self, limit: float) -> Allocation:
        """Return the allocation of fewest bytes with at most `limit` of distortion.

        Returns the most accurate allocation if none keeps the limit.
        """
        distortion = sum(point.distortion for point in self.smallest.values())
        count = 0
        while count < len(self.moves) and distortion > limit:
            distortion -= self.moves[count].gain
            count += 1
        return self._after(self.moves[:count])

    def _after(self, moves: Iterable[_Move]) -> Allocation:
        """Return the allocation after some moves, which are in order."""
        chosen = {**self.smallest, **{move.tensor: move.after for move in moves}}
        return Allocation(
            {tensor: point.choice for tensor, point in chosen.items()},
            sum(point.size for point in chosen.values()),
            sum(point.distortion for point in chosen.values()),
        )
