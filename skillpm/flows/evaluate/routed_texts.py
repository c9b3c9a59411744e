"""The router of a project, and the check for router signatures, which needs no torch."""

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
    """One decision for each text, and the mean time of each step per text, in milliseconds."""

    decisions: tuple[Decision, ...]
    features_ms: float
    decision_ms: float


@dataclass(frozen=True)
class ProjectRouter:
    """A project's router on its loaded base; `left_out` has the reason for each skipped skill.

    `listed` is the order in `[graft] precedence`. `features_of` computes the features of texts.
    """

    router: Router
    runner: "Runner | None"
    left_out: SkippedSignatures
    listed: tuple[SkillName, ...] = field(default=())
    features_of: Callable[[Sequence[str]], Array] | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about invalid signatures, and about pairs without a precedence."""
        unsound = [
            f"the router cannot select `{skill}`: {reason}; `skillpm uninstall {skill}` removes it"
            for skill, reason in self.left_out.unsound.items()
        ]
        return (*unsound, *(near_warning(pair, self.listed) for pair in self.unordered))

    @property
    def unordered(self) -> tuple[NearPair, ...]:
        """The near-equal pairs that `[graft] precedence` does not order."""
        listed = frozenset(self.listed)
        return tuple(pair for pair in self.router.near if not listed & {*pair.skills})

    def route(self, texts: Sequence[str]) -> RoutedTexts:
        """Decide for each text, in one batch. Raises `UsageError` for a blank text."""
        blank = next((n for n, text in enumerate(texts, start=1) if not text.strip()), None)
        if blank is not None:
            raise UsageError(
                f"text {blank} of {len(texts)} is blank; expected a text to route",
                hint='`skillpm route "what is 2 + 2?"`',
            )
        started = time.perf_counter()
        features = None if self.features_of is None else self.features_of(texts)
        between = time.perf_counter()
        decisions = [NOTHING] * len(texts) if features is None else self.router.decide(features)
        done = time.perf_counter()
        per_text = 1000 / max(1, len(texts))
        return RoutedTexts(
            tuple(decisions), (between - started) * per_text, (done - between) * per_text
        )


def nothing_to_route(session: Session) -> ProjectRouter | None:
    """Return the router of a project without usable signatures, or None if there is one.

    Raises `IntegrityError` for a damaged blob.
    """
    current = ProjectFolder(session.project).require().generation()
    signatures, left_out = signatures_of(session.store, current.installed, current.base_root)
    return None if signatures else ProjectRouter(Router.of({}, 0), None, left_out)
