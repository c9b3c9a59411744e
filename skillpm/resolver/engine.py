"""`nab-resolver`, held to our fixed order of packages.

What it does to find a better order is left out: it would only come to decide the same again. So
it never restarts, it does not jump back further than a conflict needs, and whose turn it is stands
in a heap. Where conflicts are few and local, a search takes about as many decisions as there are
packages; jumps to the other party of each conflict made it the product of the two.
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
ROOM = 10  # levels that a jump may take back beyond need: fewer conflicts are met one by one


class Watch(ResolverObserver[Package, int]):
    """Calls `step` at each conflict, and knows the level of the decision that it is about."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step
        self.level = 0

    def on_conflict(self, incompatibility: Clause) -> None:
        """Many conflicts may follow one choice: the search may have to stop in between."""
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
        """Remember the level."""
        del incompatibility, satisfier_package, satisfier_is_decision, previous_level, can_backjump
        self.level = satisfier_level


class Trail(PartialSolution[Package, int]):
    """What is decided so far. Going back ends at the decision at fault, or `ROOM` levels on.

    The clause that was learnt decides there just as it would where PubGrub jumps to: at the other
    party. All that was settled in between stays.
    """

    def __init__(self, watch: Watch) -> None:
        super().__init__(range_type=Positions)
        self._watch = watch

    def backtrack(self, target_level: int) -> None:
        """Take back the decision at fault, what came after it, and a little more."""
        before = min(self._watch.level - 1, self.decision_level - ROOM)
        super().backtrack(max(target_level, before))


class Turns(DecisionQueue[Package]):
    """Whose turn it is: the least key among those that are ready, else the least of all.

    A package's key never changes here, other than by being ready or not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[Any, Package]] = []
        self._known: set[Package] = set()

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        self._waiting.clear()
        self._known.clear()

    def pick(
        self,
        undecided: AbstractSet[Package],
        sort_key: Callable[[Package], tuple[Any, ...]],
        changed: set[Package],
        epoch: int,
        key_inputs_arrived: Callable[[Package], bool] | None = None,
    ) -> Package:
        """The next one of `undecided`. Logarithmic in how many wait."""
        del epoch, key_inputs_arrived
        for package in changed:
            if package in undecided and package not in self._known:
                self._known.add(package)
                heappush(self._waiting, (sort_key(package)[1:], package))
        early: list[tuple[Any, Package]] = []
        while self._waiting:
            package = self._waiting[0][1]
            if package not in undecided:
                self._known.discard(heappop(self._waiting)[1])
            elif sort_key(package)[0]:
                early.append(heappop(self._waiting))
            else:
                break
        first = (self._waiting or early)[0][1]
        for entry in early:
            heappush(self._waiting, entry)
        return first


class Engine(Resolver[Package, int]):
    """PubGrub in our order."""

    _MAX_RESTARTS = 0
    MAX_TARGETED_BACKTRACKS = 0

    def __init__(
        self, provider: ResolverProvider[Package, int], watch: Watch, *, max_iterations: int
    ) -> None:
        super().__init__(
            provider, watch, max_iterations=max_iterations, range_type=Positions, root_version=0
        )
        self._watch = watch
        self.decision_queue = Turns()

    def _reset(self, constraints: Mapping[Package, RangeProtocol[int]] | None) -> None:
        super()._reset(constraints)
        self.solution = Trail(self._watch)
