"""Check recorded probe values against a measurement on this base (ADR 27)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from skillpm.errors import GraftError
from skillpm.flows.evaluate.answering import MergedAnswers
from skillpm.flows.evaluate.carried import (
    CarriedProbes,
    MetricMeasurement,
    ProbeResult,
    measure_all,
)
from skillpm.flows.evaluate.stage import CandidateEnvironment
from skillpm.flows.session.session import Session
from skillpm.spec import json
from skillpm.spec.closure import closure
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedGraft, Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.probes import METRICS
from skillpm.spec.words import distinct
from skillpm.store.blobs import Store
from skillpm.store.packs import load_pack
from skillpm.store.sealed_documents import load_sealed, save_sealed
from skillpm.version import __version__

FOLDER = "measures"
"""The folder of measurements, in the cache of the skillpm home."""
_LIMIT = 1 << 20
"""The size limit of one measurement file, in bytes."""


@dataclass(frozen=True)
class Claims:
    """Packs with their measurements, and the claims of new packs that are false here.

    `notes` report other differences, and the packs whose probes cannot be run.
    """

    carried: Mapping[SkillName, CarriedProbes]
    false: Mapping[SkillName, tuple[ProbeResult, ...]]
    notes: tuple[str, ...]


def check_claims(
    stage: CandidateEnvironment,
    lock: Lockfile,
    carried: Mapping[SkillName, CarriedProbes],
    new: frozenset[SkillName],
) -> Claims:
    """Compare the recorded values of each pack with a measurement on this base.

    A pack is measured once for each base: alone, on the model that it was encoded against. The
    recorded values of a `new` pack must be true; an installed pack is checked against its measured
    values. Costs two decodes and two probe runs for each pack without a measurement. Raises
    `GraftError` if the probes of a new pack cannot be run.
    """
    known: dict[SkillName, CarriedProbes] = {}
    false: dict[SkillName, tuple[ProbeResult, ...]] = {}
    notes: list[str] = []
    for skill, probes in carried.items():
        try:
            measured = replace(probes, measured=measure_alone(stage, lock, probes))
        except GraftError as problem:
            stage.check_runs()
            if skill in new:
                raise
            notes.append(f"unguarded: {problem.message}")
            continue
        known[skill] = measured
        claims = map(measured.claim, measured.recorded)
        untrue = tuple(claim for claim in claims if not claim.is_true)
        if untrue and skill in new:
            false[skill] = untrue
        reported = frozenset[str]() if skill in false else {claim.metric for claim in untrue}
        notes += _differences(measured, reported)
    return Claims(known, false, tuple(notes))


def _differences(carried: CarriedProbes, untrue: Collection[str]) -> list[str]:
    """Return notes on recorded values that differ from the measured ones by more than noise.

    The metrics in `untrue` are always noted.
    """
    notes = []
    for metric, recorded in carried.recorded.items():
        now = carried.measured[metric]
        judged = carried.judge(metric, now.value)
        leeway = abs(judged.bound - judged.reference)
        if metric in untrue or METRICS[metric].gain(now.value, recorded.value) > leeway:
            stated, actual = distinct(recorded.value, now.value)
            notes.append(
                f"`{carried.ref}` records {metric} {stated}, but measures {actual} by itself on "
                f"this base; the guard uses {actual}"
            )
        base = recorded.base_value
        if base is not None and abs(base - now.base) > max(leeway, METRICS[metric].floor):
            stated, actual = distinct(base, now.base)
            notes.append(
                f"`{carried.ref}` records {metric} {stated} for its base, which reaches {actual}"
            )
    return notes


def skills_below(store: Store, lock: Lockfile, skill: SkillName) -> frozenset[SkillName]:
    """Return the skills that a pack is layered on, directly or through another pack."""

    def layers(upper: SkillName) -> list[SkillName]:
        manifest = load_pack(store, lock.skills[upper].digest).manifest
        return sorted({entry.skill for entry in manifest.over} & lock.skills.keys())

    return frozenset(closure([skill], layers) - {skill})


def exact_subset(lock: Lockfile, skills: frozenset[SkillName]) -> Lockfile:
    """Return the lock with exactly these skills, even if they require others."""
    kept = [locked for locked in lock.skill if locked.skill in skills]
    return lock.model_copy(update={"skill": kept}).with_root(None)


def with_measurements(
    session: Session, lock: Lockfile, carried: Mapping[SkillName, CarriedProbes], device: str
) -> dict[SkillName, CarriedProbes]:
    """Return the packs with their earlier measurements on the lock's base, if there are any."""
    return {
        skill: replace(
            probes, measured=_record(session, lock, probes, device).get(probes.recorded) or {}
        )
        for skill, probes in carried.items()
    }


def _parts(store: Store, lock: Lockfile, skill: SkillName) -> tuple[Lockfile, Lockfile]:
    """Return locks without and with a pack: its layers at weight 1, merged by the sum."""
    below = skills_below(store, lock, skill)
    unweighted = [locked.model_copy(update={"weight": 1.0}) for locked in lock.skill]
    plain = lock.model_copy(update={"skill": unweighted, "graft": LockedGraft()})
    return exact_subset(plain, below), exact_subset(plain, below | {skill})


def _record(
    session: Session, lock: Lockfile, carried: CarriedProbes, device: str
) -> "_Measurements":
    """Return the record of a measurement, keyed by base, packs, device and skillpm version."""
    _, part = _parts(session.store, lock, carried.skill)
    key = {
        "base": str(lock.base.root),
        "packs": sorted(str(locked.digest) for locked in part.skill),
        "of": str(carried.skill),
        "device": device,
        "tool": __version__,
    }
    return _Measurements(session.home, f"{Digest.of(json.canonical(key)).hex}.json")


def measure_alone(
    stage: CandidateEnvironment, lock: Lockfile, carried: CarriedProbes
) -> Mapping[str, MetricMeasurement]:
    """Return the values of a pack alone and of what it was encoded against, on the lock's base.

    Costs two decodes and two probe runs for a pack without a record, which is then written.
    """
    record = _record(stage.session, lock, carried, stage.device)
    known = record.get(carried.recorded)
    if known is not None:
        return known
    base, whole = (
        measure_all(stage.session, MergedAnswers(stage.runner(part)), carried)
        for part in _parts(stage.session.store, lock, carried.skill)
    )
    measured = {
        metric: MetricMeasurement(whole[metric], base[metric]) for metric in carried.recorded
    }
    record.put(measured)
    return measured


@dataclass(frozen=True)
class _Measurements:
    """A measurement file in the cache of the skillpm home, used only if its owner alone can write.

    Measurements are not stored in a project, because a project from an untrusted source could then
    set the bounds for its own packs.
    """

    home: Path
    name: str

    def get(self, metrics: Iterable[str]) -> Mapping[str, MetricMeasurement] | None:
        """Return the measurements of these metrics, or None if the file is absent or invalid."""
        document = load_sealed(self.home, FOLDER, self.name, limit=_LIMIT)
        if document is None:
            return None
        try:
            return {
                m: MetricMeasurement(float(document[m]["value"]), float(document[m]["base"]))
                for m in metrics
            }
        except (KeyError, TypeError, ValueError):
            return None

    def put(self, measured: Mapping[str, MetricMeasurement]) -> None:
        """Write the measurements. A cache that cannot be written is ignored."""
        document = {metric: asdict(value) for metric, value in measured.items()}
        save_sealed(self.home, (FOLDER, self.name), document)
