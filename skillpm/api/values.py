"""The results of the Python API: frozen dataclasses with digests and names as text."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from skillpm.api.extras import needs_matplotlib
from skillpm.errors import StateError

if TYPE_CHECKING:
    from skillpm.environment.generation import Installed
    from skillpm.flows.change.plan import ChangeResult
    from skillpm.flows.graft.graft import Grafted
    from skillpm.routing.router import Decision
    from skillpm.spec.forecast import Forecast
    from skillpm.spec.lockfile import LockedSkill
    from skillpm.spec.names import SkillName
    from skillpm.spec.plan import SavedPlan

    Forecaster = Callable[[Collection[SkillName] | None], Forecast]


@dataclass(frozen=True)
class InstalledSkill:
    """A release that is installed in a project. `payload_bytes` is 0 if it is unknown."""

    name: str
    version: str
    digest: str
    weight: float
    scheme: str
    registry: str = ""
    payload_bytes: int = field(default=0, repr=False)

    @classmethod
    def of(cls, installed: "Installed") -> Self:
        """Convert an entry of a generation."""
        return cls(
            name=str(installed.skill),
            version=str(installed.version),
            digest=str(installed.digest),
            weight=installed.weight,
            scheme=installed.scheme,
            registry=installed.registry,
            payload_bytes=installed.payload_bytes,
        )


@dataclass(frozen=True)
class Change:
    """The result of a change of a project, or with `dry_run` of a plan that was not applied.

    `generation` is the current generation after the change, `kept` the number of unchanged skills,
    `notes` are messages for the user. `before` is what was installed, by name. `fetched_bytes` were
    downloaded, of the `total_bytes` of the packs added or changed. `moved` is true if there is a
    new generation, even if only `[graft]` changed. A plan can be saved as `saved`; `unverified` are
    its skills whose manifests were never checked on this base.
    """

    added: tuple[InstalledSkill, ...]
    removed: tuple[InstalledSkill, ...]
    changed: tuple[InstalledSkill, ...]
    generation: int
    kept: int = 0
    dry_run: bool = False
    notes: tuple[str, ...] = ()
    before: Mapping[str, InstalledSkill] = field(default_factory=dict, repr=False)
    fetched_bytes: int = field(default=0, repr=False)
    total_bytes: int = field(default=0, repr=False)
    moved: bool = field(default=False, repr=False)
    saved: "SavedPlan | None" = field(default=None, repr=False)
    unverified: frozenset[str] = field(default=frozenset(), repr=False)
    _forecast: "Forecaster | None" = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, changed: "ChangeResult") -> Self:
        """Convert a flow's result."""
        return cls(
            added=_installed(changed.added),
            removed=_installed(changed.removed),
            changed=_installed(changed.changed),
            generation=changed.generation,
            kept=changed.kept,
            dry_run=changed.dry_run,
            notes=changed.notes,
            before={str(name): InstalledSkill.of(one) for name, one in changed.before.items()},
            fetched_bytes=changed.fetched,
            total_bytes=changed.size,
            moved=changed.moved,
            saved=changed.saved,
            unverified=frozenset(map(str, changed.unverified)),
            _forecast=changed.forecast,
        )

    def forecast(self, *, all_pairs: bool = False) -> "Forecast | None":
        """What a merge of the planned set would cost each skill; None for a change that was made.

        Covers the pairs with a new skill, or all pairs. Reads manifests, no tensors.
        """
        if self._forecast is None:
            return None
        from skillpm.spec.names import SkillName

        new = [SkillName.parse(skill.name) for skill in (*self.added, *self.changed)]
        return self._forecast(None if all_pairs else new)

    def plot_forecast(self, target: str | Path) -> None:
        """Draw the forecast of all pairs as a heat map; the ending chooses PNG, SVG or PDF.

        Raises `StateError` if the plan merges no two skills, `UsageError` for another ending, and
        if matplotlib is not installed.
        """
        from skillpm.journal.atomic import write_atomic
        from skillpm.pictures.formats import picture_format

        kind = picture_format(Path(target))
        forecast = _forecast_of(self)
        with needs_matplotlib("`--plot` draws"):
            from skillpm.pictures.canvas import figure_file
            from skillpm.pictures.heat import HeatMap, draw_heat
        write_atomic(Path(target), figure_file(draw_heat(HeatMap.of(forecast)), kind))


def _forecast_of(change: Change) -> "Forecast":
    forecast = change.forecast(all_pairs=True)
    if forecast is None:
        raise StateError("the change was carried out; only a plan of a dry run has a forecast")
    if not forecast.pairs:
        raise StateError(
            "there is no forecast to draw: the plan merges no two skills",
            hint="leave out `--plot`, or plan another skill",
        )
    return forecast


def _installed(entries: "Collection[Installed]") -> tuple[InstalledSkill, ...]:
    return tuple(map(InstalledSkill.of, entries))


@dataclass(frozen=True)
class ReleaseReference:
    """A release by name, version and digest."""

    skill: str
    version: str
    digest: str

    @classmethod
    def of(cls, locked: "LockedSkill") -> Self:
        """Convert an entry of a lock."""
        return cls(str(locked.skill), str(locked.version), str(locked.digest))

    @property
    def ref(self) -> str:
        """The release as text: `acme/math 1.0.0`."""
        return f"{self.skill} {self.version}"


@dataclass(frozen=True)
class GraftResult:
    """A model folder that was written, or with `unchanged` was already up to date.

    `linked_bytes` are shared with the base, `reused_bytes` are from the earlier graft. `releases`
    are the grafted ones, `skills` their names. `settings` are those of `method`. `once` is true if
    settings of this run differ from the project's; `keep` are the commands that keep them.
    """

    path: Path
    root: str
    written_bytes: int
    seconds: float
    linked_bytes: int = 0
    reused_bytes: int = 0
    generation: int = 0
    skills: tuple[str, ...] = ()
    unchanged: bool = False
    releases: tuple[ReleaseReference, ...] = field(default=(), repr=False)
    mode: str = "merged"
    method: str = "sum"
    settings: Mapping[str, str | float] = field(default_factory=dict, repr=False)
    once: bool = field(default=False, repr=False)
    keep: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, grafted: "Grafted") -> Self:
        """Convert a flow's result."""
        return cls(
            path=grafted.path,
            root=str(grafted.root),
            written_bytes=grafted.written_bytes,
            seconds=grafted.seconds,
            linked_bytes=grafted.linked_bytes,
            reused_bytes=grafted.reused_bytes,
            generation=grafted.generation,
            skills=tuple(str(locked.skill) for locked in grafted.skills),
            unchanged=grafted.unchanged,
            releases=tuple(map(ReleaseReference.of, grafted.skills)),
            mode=grafted.of.lock.graft.mode,
            method=grafted.of.lock.graft.method,
            settings=grafted.of.lock.graft.settings,
            once=grafted.of.once,
            keep=grafted.of.keeping if grafted.of.once else (),
        )


@dataclass(frozen=True)
class RouteDecision:
    """The skill chosen for a text; `skill` is None if the base should answer.

    `score` is the best skill's margin in nats, None if there are no candidates. `scores` has the
    score of each candidate.
    """

    skill: str | None
    score: float | None
    reason: str
    scores: Mapping[str, float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, decision: "Decision") -> Self:
        """Convert a router's decision."""
        skill = None if decision.skill is None else str(decision.skill)
        scores = {str(name): score for name, score in decision.scores.items()}
        return cls(skill, decision.score, decision.reason, scores)
