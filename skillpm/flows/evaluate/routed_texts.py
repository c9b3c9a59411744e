"""A project's router, and whether it has anything to decide: from manifests, without torch."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skillpm.environment.project import ProjectFolder
from skillpm.errors import UsageError
from skillpm.flows.packs.signatures import SkippedSignatures, signatures_of
from skillpm.flows.session.session import Session
from skillpm.routing.router import NOTHING, Decision, Router
from skillpm.routing.signature import Array
from skillpm.spec.names import SkillName
from skillpm.spec.nearness import NearPair, near_warning

if TYPE_CHECKING:
    from skillpm.running.runner import Runner


@dataclass(frozen=True)
class RoutedTexts:
    """Decisions, one for each text, and what each took on average, in milliseconds."""

    decisions: tuple[Decision, ...]
    features_ms: float
    decision_ms: float


@dataclass(frozen=True)
class ProjectRouter:
    """A project's router over its running base; `left_out` says why a skill is no candidate.

    `listed` is the order that `[graft] precedence` gives, `see` gives the features of texts.
    """

    router: Router
    runner: "Runner | None"
    left_out: SkippedSignatures
    listed: tuple[SkillName, ...] = field(default=())
    see: Callable[[Sequence[str]], Array] | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should do something about."""
        unsound = [
            f"`{skill}` is not routed to: {reason}; `skillpm uninstall {skill}` removes it"
            for skill, reason in self.left_out.unsound.items()
        ]
        return (*unsound, *(near_warning(pair, self.listed) for pair in self.unordered))

    @property
    def unordered(self) -> tuple[NearPair, ...]:
        """The near-equal pairs that no recorded precedence decides."""
        listed = frozenset(self.listed)
        return tuple(pair for pair in self.router.near if not listed & {*pair.skills})

    def route(self, texts: Sequence[str]) -> RoutedTexts:
        """Decide for texts, run together. Raises `UsageError` for one that is blank."""
        if any(not text.strip() for text in texts):
            raise UsageError("a text to route is blank", hint='`skillpm route "what is 2 + 2?"`')
        started = time.perf_counter()
        seen = None if self.see is None else self.see(texts)
        between = time.perf_counter()
        decisions = [NOTHING] * len(texts) if seen is None else self.router.decide(seen)
        done = time.perf_counter()
        each = 1000 / max(1, len(texts))
        return RoutedTexts(tuple(decisions), (between - started) * each, (done - between) * each)


def nothing_to_route(session: Session) -> ProjectRouter | None:
    """The routes of a project of which no skill is a candidate; None where one is.

    Raises `IntegrityError` where a blob is damaged.
    """
    current = ProjectFolder(session.project).require().generation()
    signatures, left_out = signatures_of(session.store, current.installed, current.base_root)
    return None if signatures else ProjectRouter(Router.of({}, 0), None, left_out)
