"""The probes that packs carry, what they record of them, and what is measured now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite

from skillpm.errors import GraftError
from skillpm.flows.evaluate.answering import Answers
from skillpm.flows.packs.probe_files import probes_of
from skillpm.flows.session.session import Session
from skillpm.probing.measure import figure, mean
from skillpm.spec.capabilities import recorded_values, removal_hint
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.manifest import Capability
from skillpm.spec.names import SkillName
from skillpm.spec.probes import METRICS, Probes
from skillpm.store.packs import StoredPack, load_pack

_NOTHING = -1e9
"""The least share of a gain that is distinguished from a loss."""


@dataclass(frozen=True)
class MetricMeasurement:
    """A metric on this base: of a pack on exactly what it was cut from, and of that without it."""

    value: float
    base: float


@dataclass(frozen=True)
class CarriedProbes:
    """The probes of a pack, what it recorded of each metric, and what was measured here of each."""

    skill: SkillName
    ref: str
    probes: Probes
    recorded: Mapping[str, Capability]
    hint: str
    measured: Mapping[str, MetricMeasurement] = field(default_factory=dict)

    @property
    def items(self) -> int:
        """The items that are asked, over all recorded metrics."""
        return sum(len(self.probes.items[metric]) for metric in self.recorded)

    def claim(self, metric: str) -> "ProbeResult":
        """The recorded value, judged by what was measured here of the pack alone."""
        recorded, found = self.recorded[metric].value, self.measured[metric]
        return self._result(metric, recorded, found.base, found.value)

    def judge(self, metric: str, now: float) -> "ProbeResult":
        """A value of now, judged by what was measured of the pack alone, else by what it records.

        So neither a recorded value nor a recorded base value decides what may be lost, where both
        were measured here.
        """
        recorded = self.recorded[metric]
        if metric not in self.measured:
            base = recorded.value if recorded.base_value is None else recorded.base_value
            return self._result(metric, recorded.value, base, now)
        found = self.measured[metric]
        return self._result(metric, found.value, found.base, now)

    def _result(self, metric: str, reference: float, base: float, now: float) -> "ProbeResult":
        samples, tolerance = len(self.probes.items[metric]), self.probes.tolerances[metric]
        kind = METRICS[metric]
        leeway = kind.allowance(reference, base, samples=samples, tolerance=tolerance)
        bound, recorded = figure(kind.bound(reference, leeway)), self.recorded[metric].value
        return ProbeResult(
            self.skill, metric, base, recorded, now, samples, tolerance, bound, reference
        )


@dataclass(frozen=True)
class ProbeResult:
    """One metric of one skill. `bound` is the worst value that holds; `now` may be no number.

    `reference` is what `bound` follows from: `recorded`, or what was measured on this base.
    """

    skill: SkillName
    metric: str
    base: float
    recorded: float
    now: float
    samples: int
    tolerance: float
    bound: float
    reference: float

    @property
    def passed(self) -> bool:
        """Whether the capability is still there."""
        return METRICS[self.metric].holds(self.now, self.bound)

    @property
    def is_true(self) -> bool:
        """Of a claim: whether a model can have the recorded value, and the pack has it here."""
        return self.passed and METRICS[self.metric].is_possible(self.recorded)

    @cached_property
    def kept(self) -> float:
        """The share of the gain that is still there; 1 where nothing was gained."""
        metric = METRICS[self.metric]
        gained = metric.gain(self.reference, self.base)
        if not isfinite(self.now):
            return _NOTHING
        share = metric.gain(self.now, self.base) / gained if gained > 0 else float(self.passed)
        return max(_NOTHING, share)


def evaluate(session: Session, answers: Answers, carried: CarriedProbes) -> list[ProbeResult]:
    """Every recorded metric of one pack, as it is answered now."""
    values = measure_all(session, answers, carried)
    return [carried.judge(metric, now) for metric, now in values.items()]


def measure_all(session: Session, answers: Answers, carried: CarriedProbes) -> dict[str, float]:
    """The value of every recorded metric of one pack now, with progress by items."""
    advance = session.progress("probe items", carried.items)
    values = {}
    for metric in carried.recorded:
        values[metric] = _measure(answers, carried, metric)
        advance(len(carried.probes.items[metric]))
    return values


def _measure(answers: Answers, carried: CarriedProbes, metric: str) -> float:
    """The value of one metric now. Raises `GraftError` that says whose probe it was."""
    try:
        return figure(mean(answers.scores(metric, carried.probes.items[metric])))
    except GraftError as problem:
        raise GraftError(
            f"the probes of `{carried.ref}` cannot be asked: {problem.message}",
            hint=carried.hint,
        ) from problem


def carried_by(
    session: Session, lock: Lockfile, skills: Sequence[SkillName]
) -> dict[SkillName, CarriedProbes]:
    """The probes of those of these skills that carry any, with recorded values.

    Raises `SpecError` where a pack's probes cannot be read.
    """
    found = {}
    for skill in skills:
        carried = _carried(load_pack(session.store, lock.skills[skill].digest))
        if carried is not None:
            found[skill] = carried
    return found


def _carried(pack: StoredPack) -> CarriedProbes | None:
    manifest, probes = pack.manifest, probes_of(pack)
    recorded = {} if probes is None else recorded_values(manifest, probes)
    if probes is None or not recorded:
        return None
    return CarriedProbes(manifest.skill, manifest.ref, probes, recorded, removal_hint(manifest))
