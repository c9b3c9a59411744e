"""`nab-resolver`'s PubGrub with a fixed order of packages.

`nab-resolver` normally reorders packages after conflicts. With a fixed order that would only repeat
decisions, so this engine never restarts, backtracks no further than a conflict requires, and keeps
the undecided packages in a heap. When conflicts are few and local, a search makes about as many
decisions as there are packages. With backjumps to the other side of each conflict, it made about
packages times conflicts.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush
from typing import Any

from nab_resolver.decision_queue import DecisionQueue
from nab_resolver.partial_solution import PartialSolution
from nab_resolver.resolver import Resolver, ResolverObserver, ResolverProvider
from nab_resolver.types import Incompatibility, RangeProtocol

from skillpm.resolver.positions import Positions
from skillpm.resolver.rules import Package

Clause = Incompatibility[Package, int]
EXTRA_LEVELS = 10
"""Extra levels that a backjump undoes. Without them, related conflicts are found one by one."""


class ConflictObserver(ResolverObserver[Package, int]):
    """Calls `step` at each conflict and records the level of the decision that caused it."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step
        self.level = 0

    def on_conflict(self, incompatibility: Clause) -> None:
        """Call `step`, which checks the deadline: one decision can cause many conflicts."""
        del incompatibility
        self._step()

    def on_conflict_step(
        self,
        incompatibility: Clause,
        *,
        satisfier_package: Package,
        satisfier_is_decision: bool,
        satisfier_level: int,
        previous_level: int,
        can_backjump: bool,
    ) -> None:
        """Record the level of the decision at fault."""
        del incompatibility, satisfier_package, satisfier_is_decision, previous_level, can_backjump
        self.level = satisfier_level


class ShallowBacktracking(PartialSolution[Package, int]):
    """A partial solution that undoes the decision at fault, and at most `EXTRA_LEVELS` more.

    PubGrub jumps back to the other side of the conflict. The learned clause has the same effect at
    the level used here, and the decisions in between are kept.
    """

    def __init__(self, observer: ConflictObserver) -> None:
        super().__init__(range_type=Positions)
        self._observer = observer

    def backtrack(self, target_level: int) -> None:
        """Undo the decisions down to the one at fault, or down to `EXTRA_LEVELS` levels ago."""
        lowest = min(self._observer.level - 1, self.decision_level - EXTRA_LEVELS)
        super().backtrack(max(target_level, lowest))


class FixedOrderQueue(DecisionQueue[Package]):
    """Picks the next package: the smallest key among the ready packages, else among all.

    The first element of a key is false if the package is ready. The rest never changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._by_rank: list[tuple[Any, Package]] = []
        self._enqueued: set[Package] = set()

    def clear(self) -> None:
        """Remove all packages."""
        super().clear()
        self._by_rank.clear()
        self._enqueued.clear()

    def pick(
        self,
        undecided: AbstractSet[Package],
        sort_key: Callable[[Package], tuple[Any, ...]],
        changed: set[Package],
        epoch: int,
        key_inputs_arrived: Callable[[Package], bool] | None = None,
    ) -> Package:
        """The next package of `undecided`. Logarithmic in the number of waiting packages."""
        del epoch, key_inputs_arrived
        for package in changed:
            if package in undecided and package not in self._enqueued:
                self._enqueued.add(package)
                heappush(self._by_rank, (sort_key(package)[1:], package))
        not_ready: list[tuple[Any, Package]] = []
        while self._by_rank:
            package = self._by_rank[0][1]
            if package not in undecided:
                self._enqueued.discard(heappop(self._by_rank)[1])
            elif sort_key(package)[0]:
                not_ready.append(heappop(self._by_rank))
            else:
                break
        first = (self._by_rank or not_ready)[0][1]
        for entry in not_ready:
            heappush(self._by_rank, entry)
        return first


class Engine(Resolver[Package, int]):
    """PubGrub without restarts and without reordering of packages."""

    _MAX_RESTARTS = 0
    MAX_TARGETED_BACKTRACKS = 0

    def __init__(
        self,
        provider: ResolverProvider[Package, int],
        observer: ConflictObserver,
        *,
        max_iterations: int,
    ) -> None:
        super().__init__(
            provider, observer, max_iterations=max_iterations, range_type=Positions, root_version=0
        )
        self._observer = observer
        self.decision_queue = FixedOrderQueue()

    def _reset(self, constraints: Mapping[Package, RangeProtocol[int]] | None) -> None:
        super()._reset(constraints)
        self.solution = ShallowBacktracking(self._observer)
