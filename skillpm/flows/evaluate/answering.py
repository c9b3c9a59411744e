"""Who answers the items of probes: one model of all, or for each item the skill it is routed to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from skillpm.flows.evaluate.stage import CandidateEnvironment
from skillpm.flows.locking.lock_check import prune
from skillpm.flows.packs.signatures import drop_other_widths, signatures_of
from skillpm.probing.measure import Score, measure
from skillpm.routing.features import features, width_of
from skillpm.routing.router import Router
from skillpm.running.runner import Runner
from skillpm.spec.fields import Document
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.nearness import precedence_order
from skillpm.spec.probes import prompt_of


class Answers(Protocol):
    """A model, or several with a router before them, that answers a metric's items."""

    def scores(self, metric: str, items: Sequence[Document]) -> list[Score]:
        """Score every item."""
        ...


@dataclass(frozen=True)
class MergedAnswers:
    """One model answers all."""

    runner: Runner

    def scores(self, metric: str, items: Sequence[Document]) -> list[Score]:
        """Score every item."""
        return measure(self.runner, metric, items)


@dataclass(frozen=True)
class RoutedAnswers:
    """Each item is answered by the skill that the router picks, or by the base.

    A skill stands on the base with what it requires. Costs a decode for each skill that is picked.
    """

    stage: CandidateEnvironment
    lock: Lockfile
    router: Router

    def scores(self, metric: str, items: Sequence[Document]) -> list[Score]:
        """Score every item."""
        found: dict[int, Score] = {}
        for skill, places in self._groups(items).items():
            runner = self.stage.runner(prune(self.lock, [skill] if skill else []))
            found.update(zip(places, measure(runner, metric, items, places), strict=True))
        return [found[place] for place in range(len(items))]

    def _groups(self, items: Sequence[Document]) -> Mapping[SkillName | None, list[int]]:
        if not self.router.skills:
            return {None: list(range(len(items)))}
        base = self.stage.runner(prune(self.lock, []))
        decisions = self.router.decide(features(base, [prompt_of(item) for item in items]))
        groups: dict[SkillName | None, list[int]] = {}
        for place, decision in enumerate(decisions):
            groups.setdefault(decision.skill, []).append(place)
        return groups


def answers_of(stage: CandidateEnvironment, lock: Lockfile) -> Answers:
    """Who answers for a lock: the one model that its set makes, or its skills one by one."""
    if not lock.graft.routed:
        return MergedAnswers(stage.runner(lock))
    signatures, left_out = signatures_of(stage.session.store, lock.skills, lock.base.root)
    width = width_of(stage.runner(prune(lock, []))) if signatures else 0
    drop_other_widths(signatures, left_out, width)
    order = precedence_order(signatures, lock.graft.precedence)
    return RoutedAnswers(stage, lock, Router.of(signatures, width, order))
