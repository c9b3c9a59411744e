"""`route`: which installed skill a text is for, or none: then the base answers."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skillpm.checkpoint.model import Checkpoint
from skillpm.environment.project import Project
from skillpm.errors import GraftError, UsageError
from skillpm.flows.base import check_base, check_unmoved, file_keys, open_base
from skillpm.flows.setting import Setting
from skillpm.flows.signatures import LeftOut, drop_other_widths, signatures_of
from skillpm.routing.features import features, width_of
from skillpm.routing.router import NOTHING, Decision, Router
from skillpm.running.runner import Runner
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.nearness import NearPair, near_warning, precedence_order


@dataclass(frozen=True)
class Routed:
    """Decisions, one for each text, and what each took on average, in milliseconds."""

    decisions: tuple[Decision, ...]
    features_ms: float
    decision_ms: float


@dataclass(frozen=True)
class Routes:
    """A project's router over its running base; `left_out` says why a skill is no candidate.

    `listed` is the order that `[graft] precedence` gives.
    """

    router: Router
    runner: Runner | None
    left_out: LeftOut
    listed: tuple[SkillName, ...] = field(default=())

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

    def route(self, texts: Sequence[str]) -> Routed:
        """Decide for texts, run together. Raises `UsageError` for one that is blank."""
        if any(not text.strip() for text in texts):
            raise UsageError("a text to route is blank", hint='`skillpm route "what is 2 + 2?"`')
        started = time.perf_counter()
        seen = None if self.runner is None else features(self.runner, texts)
        between = time.perf_counter()
        decisions = [NOTHING] * len(texts) if seen is None else self.router.decide(seen)
        done = time.perf_counter()
        each = 1000 / max(1, len(texts))
        return Routed(tuple(decisions), (between - started) * each, (done - between) * each)


def open_routes(
    setting: Setting, *, device: str = "cpu", runner: Callable[[], Runner] | None = None
) -> Routes:
    """The router of what is installed. The base is loaded where a skill has a signature.

    Or `runner` gives the project's base as it runs already; who gives it answers for its root.
    A skill whose signature is not sound is left out. Raises `IntegrityError` where the base is not
    the one, or a blob is damaged.
    """
    project = Project(setting.project).require()
    current = project.generation()
    signatures, left_out = signatures_of(setting.store, current.installed, current.base_root)
    if not signatures:
        return Routes(Router.of({}, 0), None, left_out)
    running = runner() if runner else _base_runner(setting, project, current.base_root, device)
    width = width_of(running)
    drop_other_widths(signatures, left_out, width)
    listed = tuple(current.lockfile.graft.precedence)
    direct = map(SkillName.parse, current.wishes)
    order = precedence_order(signatures, listed, direct)
    return Routes(Router.of(signatures, width, order), running, left_out, listed)


def _base_runner(setting: Setting, project: Project, root: Digest, device: str) -> Runner:
    base = open_base(setting, project)
    keys = file_keys(base)
    check_base(setting.identify(base, "hashing base").root, root, base.path)
    runner = Runner.load(folder_of(base), device)
    check_unmoved(base, keys)
    return runner


def folder_of(base: Checkpoint) -> Path:
    """The folder of a base that is run. Raises `GraftError` where it is a bare file."""
    if base.folder is None:
        raise GraftError(
            f"the router runs the base, and `{base.path}` is no model folder",
            hint="name the folder with config and tokenizer: `--base PATH`",
        )
    return base.folder
