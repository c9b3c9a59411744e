"""The probes of packs, their recorded values, and the values measured now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite

from skillpm.errors import GraftError
from skillpm.flows.evaluate.answering import Answers
from skillpm.flows.session.session import Session
from skillpm.probing.measure import mean, round_to_six_digits
from skillpm.spec.capabilities import recorded_values, removal_hint
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.manifest import Capability
from skillpm.spec.names import SkillName
from skillpm.spec.probes import METRICS, Probes
from skillpm.store.packs import StoredPack, load_pack

_NOTHING = -1e9
"""The lowest share of a gain: a larger loss counts as this."""


@dataclass(frozen=True)
class MetricMeasurement:
    """A metric measured on this base: of the pack alone, and of the model it was built from."""

    value: float
    base: float


@dataclass(frozen=True)
class CarriedProbes:
    """The probes of a pack, with the recorded and the locally measured value of each metric."""

    skill: SkillName
    ref: str
    probes: Probes
    recorded: Mapping[str, Capability]
    hint: str
    measured: Mapping[str, MetricMeasurement] = field(default_factory=dict)

    @property
    def items(self) -> int:
        """The number of items of all recorded metrics."""
        return sum(len(self.probes.items[metric]) for metric in self.recorded)

    def claim(self, metric: str) -> "ProbeResult":
        """Check the recorded value against the local measurement of the pack alone."""
        recorded, measured = self.recorded[metric].value, self.measured[metric]
        return self._result(metric, recorded, measured.base, measured.value)

    def judge(self, metric: str, now: float) -> "ProbeResult":
        """Check a value against the local measurement of the pack alone, else the recorded value.

        With a local measurement, neither the recorded value nor the recorded base value affects
        the bound.
        """
        recorded = self.recorded[metric]
        if metric not in self.measured:
            base = recorded.value if recorded.base_value is None else recorded.base_value
            return self._result(metric, recorded.value, base, now)
        measured = self.measured[metric]
        return self._result(metric, measured.value, measured.base, now)

    def _result(self, metric: str, reference: float, base: float, now: float) -> "ProbeResult":
        samples, tolerance = len(self.probes.items[metric]), self.probes.tolerances[metric]
        kind = METRICS[metric]
        leeway = kind.allowance(reference, base, samples=samples, tolerance=tolerance)
        bound, recorded = (
            round_to_six_digits(kind.bound(reference, leeway)),
            self.recorded[metric].value,
        )
        return ProbeResult(
            self.skill, metric, base, recorded, now, samples, tolerance, bound, reference
        )


@dataclass(frozen=True)
class ProbeResult:
    """The result of one metric of one skill. `bound` is the worst passing value.

    `reference` is the value that `bound` follows from: `recorded`, or the local measurement. `now`
    may be NaN or infinite.
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
        """Whether the value is within its bound."""
        return METRICS[self.metric].passes(self.now, self.bound)

    @property
    def is_true(self) -> bool:
        """For a claim: whether the recorded value is possible, and the pack reaches it here."""
        return self.passed and METRICS[self.metric].is_possible(self.recorded)

    @cached_property
    def kept(self) -> float:
        """The share of the gain that remains; 1 if there was no gain and the result passes."""
        metric = METRICS[self.metric]
        gained = metric.gain(self.reference, self.base)
        if not isfinite(self.now):
            return _NOTHING
        share = metric.gain(self.now, self.base) / gained if gained > 0 else float(self.passed)
        return max(_NOTHING, share)


def shares_kept(results: Sequence[ProbeResult]) -> tuple[float, float]:
    """Return the least and the mean share of gain kept, rounded to four digits against noise.

    A share over 1 counts as 1.
    """
    kept = [min(1.0, result.kept) for result in results]
    return round(min(kept), 4), round(sum(kept) / len(kept), 4)


def probes_of_all(session: Session, lock: Lockfile, purpose: str) -> dict[SkillName, CarriedProbes]:
    """Return the probes of the skills of a lock. Raises `GraftError` if no skill has probes."""
    carried = carried_by(session, lock, list(lock.skills))
    if not carried:
        raise GraftError(
            f"no installed skill has probes, and {purpose} needs them",
            hint="build a pack with probes: `skillpm pack ./model ./tuned --probes items.jsonl …`",
        )
    return carried


def evaluate(session: Session, answers: Answers, carried: CarriedProbes) -> list[ProbeResult]:
    """Measure every recorded metric of a pack now, and check it."""
    values = measure_all(session, answers, carried)
    return [carried.judge(metric, now) for metric, now in values.items()]


def measure_all(session: Session, answers: Answers, carried: CarriedProbes) -> dict[str, float]:
    """Measure every recorded metric of a pack, and report progress by items."""
    advance = session.progress("probe items", carried.items)
    values = {}
    for metric in carried.recorded:
        values[metric] = _measure(answers, carried, metric)
        advance(len(carried.probes.items[metric]))
    return values


def _measure(answers: Answers, carried: CarriedProbes, metric: str) -> float:
    """Measure a metric. Raises `GraftError`, which names the pack of the probe."""
    try:
        return round_to_six_digits(mean(answers.scores(metric, carried.probes.items[metric])))
    except GraftError as problem:
        raise GraftError(
            f"the probes of `{carried.ref}` cannot be run: {problem.message}",
            hint=carried.hint,
        ) from problem


def carried_by(
    session: Session, lock: Lockfile, skills: Sequence[SkillName]
) -> dict[SkillName, CarriedProbes]:
    """Return the probes of those skills that have probes with recorded values.

    Raises `SpecError` if the probes of a pack cannot be read.
    """
    probes = {}
    for skill in skills:
        carried = _carried(load_pack(session.store, lock.skills[skill].digest))
        if carried is not None:
            probes[skill] = carried
    return probes


def _carried(pack: StoredPack) -> CarriedProbes | None:
    manifest, probes = pack.manifest, pack.probes()
    recorded = {} if probes is None else recorded_values(manifest, probes)
    if probes is None or not recorded:
        return None
    return CarriedProbes(manifest.skill, manifest.ref, probes, recorded, removal_hint(manifest))
