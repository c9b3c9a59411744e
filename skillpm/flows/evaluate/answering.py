"""Models that answer probe items: one merged model, or the skill that the router selects."""

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
    """One model, or several models behind a router, that answer probe items."""

    def scores(self, metric: str, items: Sequence[Document]) -> list[Score]:
        """Return the score of every item, in order."""
        ...


@dataclass(frozen=True)
class MergedAnswers:
    """Answers of one model."""

    runner: Runner

    def scores(self, metric: str, items: Sequence[Document]) -> list[Score]:
        """Return the score of every item, in order."""
        return measure(self.runner, metric, items)


@dataclass(frozen=True)
class RoutedAnswers:
    """Answers of the skill that the router selects for each item, or of the base.

    A selected skill is decoded on the base together with its requirements. Costs one decode for
    each selected skill.
    """

    stage: CandidateEnvironment
    lock: Lockfile
    router: Router

    def scores(self, metric: str, items: Sequence[Document]) -> list[Score]:
        """Return the score of every item, in order."""
        scores: dict[int, Score] = {}
        for skill, indices in self._groups(items).items():
            runner = self.stage.runner(prune(self.lock, [skill] if skill else []))
            scores.update(zip(indices, measure(runner, metric, items, indices), strict=True))
        return [scores[index] for index in range(len(items))]

    def _groups(self, items: Sequence[Document]) -> Mapping[SkillName | None, list[int]]:
        if not self.router.skills:
            return {None: list(range(len(items)))}
        base = self.stage.runner(prune(self.lock, []))
        decisions = self.router.decide(features(base, [prompt_of(item) for item in items]))
        groups: dict[SkillName | None, list[int]] = {}
        for index, decision in enumerate(decisions):
            groups.setdefault(decision.skill, []).append(index)
        return groups


def answers_of(stage: CandidateEnvironment, lock: Lockfile) -> Answers:
    """Return the answers of a lock: of its merged model, or of its router and skills."""
    if not lock.graft.routed:
        return MergedAnswers(stage.runner(lock))
    signatures, left_out = signatures_of(stage.session.store, lock.skills, lock.base.root)
    width = width_of(stage.runner(prune(lock, []))) if signatures else 0
    drop_other_widths(signatures, left_out, width)
    order = precedence_order(signatures, lock.graft.precedence)
    return RoutedAnswers(stage, lock, Router.of(signatures, width, order))
