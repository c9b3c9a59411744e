"""What packs record of their probes, checked against a measurement on this base (ADR 27)."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from skillpm.errors import GraftError, SkillpmError
from skillpm.files.access import open_below
from skillpm.files.ownership import is_owner_only
from skillpm.flows.evaluate.answering import MergedAnswers
from skillpm.flows.evaluate.carried import (
    CarriedProbes,
    MetricMeasurement,
    ProbeResult,
    measure_all,
)
from skillpm.flows.evaluate.stage import CandidateEnvironment
from skillpm.flows.session.session import Session
from skillpm.flows.session.words import distinct
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedGraft, Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.probes import METRICS
from skillpm.store.blobs import Store
from skillpm.store.packs import load_pack
from skillpm.version import __version__

FOLDER = "measures"
"""The folder of measurements, in the home's cache."""
_LIMIT = 1 << 20
"""Bytes of one measurement."""


@dataclass(frozen=True)
class Claims:
    """Packs with what was measured of them, and what a newcomer records that does not hold here.

    `notes` report what else is not as recorded, and the packs whose probes cannot be asked.
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
    """Hold what each pack records against a measurement on this base.

    A pack is measured once for each base: alone, on exactly what it was cut from. What a `new` one
    records must hold; one that was installed before is judged by what it really has. Costs two
    decodes of a pack that was not measured before, and its probes twice. Raises `GraftError` where
    the probes of a new pack cannot be asked.
    """
    known: dict[SkillName, CarriedProbes] = {}
    false: dict[SkillName, tuple[ProbeResult, ...]] = {}
    notes: list[str] = []
    for skill, each in carried.items():
        try:
            found = replace(each, measured=_measured(stage, lock, each))
        except GraftError as problem:
            stage.check_runs()
            if skill in new:
                raise
            notes.append(f"unguarded: {problem.message}")
            continue
        known[skill] = found
        lies = tuple(c for c in map(found.claim, found.recorded) if not c.is_true)
        if lies and skill in new:
            false[skill] = lies
        notes += _differences(found, {} if skill in false else {lie.metric: lie for lie in lies})
    return Claims(known, false, tuple(notes))


def _differences(carried: CarriedProbes, lies: Mapping[str, ProbeResult]) -> list[str]:
    """What a pack records otherwise than it was measured, where that is not noise."""
    notes = []
    for metric, recorded in carried.recorded.items():
        now = carried.measured[metric]
        judged = carried.judge(metric, now.value)
        leeway = abs(judged.bound - judged.reference)
        if metric in lies or METRICS[metric].gain(now.value, recorded.value) > leeway:
            says, has = distinct(recorded.value, now.value)
            notes.append(
                f"`{carried.ref}` records {metric} {says}, but has {has} on this base alone: it is "
                "held to what it has"
            )
        base = recorded.base_value
        if base is not None and abs(base - now.base) > max(leeway, METRICS[metric].floor):
            says, has = distinct(base, now.base)
            notes.append(f"`{carried.ref}` records {metric} {says} of its base, which has {has}")
    return notes


def lower_of(store: Store, lock: Lockfile, skill: SkillName) -> frozenset[SkillName]:
    """The skills of a lock that a pack was cut over, directly or through another."""
    found: set[SkillName] = set()
    queue = [skill]
    while queue:
        manifest = load_pack(store, lock.skills[queue.pop()].digest).manifest
        below = {each.skill for each in manifest.over} & lock.skills.keys()
        queue += sorted(below - found)
        found |= below
    return frozenset(found - {skill})


def part_of(lock: Lockfile, skills: frozenset[SkillName]) -> Lockfile:
    """The lock with exactly these skills, whatever they require."""
    kept = [each for each in lock.skill if each.skill in skills]
    return lock.model_copy(update={"skill": kept}).with_root(None)


def with_measurements(
    session: Session, lock: Lockfile, carried: Mapping[SkillName, CarriedProbes], device: str
) -> dict[SkillName, CarriedProbes]:
    """The packs with what was measured of them on the lock's base before, where anything was."""
    return {
        skill: replace(each, measured=_place(session, lock, each, device).get(each.recorded) or {})
        for skill, each in carried.items()
    }


def _parts(store: Store, lock: Lockfile, skill: SkillName) -> tuple[Lockfile, Lockfile]:
    """What a pack was cut from, and that with the pack: each at weight 1, merged by the sum."""
    below = lower_of(store, lock, skill)
    whole = [each.model_copy(update={"weight": 1.0}) for each in lock.skill]
    plain = lock.model_copy(update={"skill": whole, "graft": LockedGraft()})
    return part_of(plain, below), part_of(plain, below | {skill})


def _place(
    session: Session, lock: Lockfile, carried: CarriedProbes, device: str
) -> "_Measurements":
    """A measurement follows from the base's and the packs' bytes, device and version."""
    _, part = _parts(session.store, lock, carried.skill)
    key = {
        "base": str(lock.base.root),
        "packs": sorted(str(each.digest) for each in part.skill),
        "of": str(carried.skill),
        "device": device,
        "tool": __version__,
    }
    return _Measurements(session.home, f"{Digest.of(json.canonical(key)).hex}.json")


def _measured(
    stage: CandidateEnvironment, lock: Lockfile, carried: CarriedProbes
) -> Mapping[str, MetricMeasurement]:
    place = _place(stage.session, lock, carried, stage.device)
    known = place.get(carried.recorded)
    if known is not None:
        return known
    base, whole = (
        measure_all(stage.session, MergedAnswers(stage.runner(part)), carried)
        for part in _parts(stage.session.store, lock, carried.skill)
    )
    found = {metric: MetricMeasurement(whole[metric], base[metric]) for metric in carried.recorded}
    place.put(found)
    return found


@dataclass(frozen=True)
class _Measurements:
    """Measurements in the home's cache: nothing but a home that its owner alone writes is believed.

    A project cannot hold them: one from a stranger would say what its own packs are held to.
    """

    home: Path
    name: str

    def get(self, metrics: Iterable[str]) -> Mapping[str, MetricMeasurement] | None:
        """What was measured before of all these metrics; None where anything is amiss."""
        try:
            if not is_owner_only(self.home / "cache" / FOLDER / self.name):
                return None
            with open_below(self.home, "cache", FOLDER) as records:
                plain = json.parse_object(records.read(self.name, limit=_LIMIT), "a measurement")
            found = {
                m: MetricMeasurement(float(plain[m]["value"]), float(plain[m]["base"]))
                for m in metrics
            }
        except (SkillpmError, KeyError, TypeError, ValueError):
            return None
        return found

    def put(self, found: Mapping[str, MetricMeasurement]) -> None:
        """Remember; a cache that cannot be written costs time, not more."""
        plain = {metric: asdict(each) for metric, each in found.items()}
        with (
            suppress(SkillpmError),
            open_below(self.home, "cache", FOLDER, create=True) as records,
        ):
            records.write(self.name, json.canonical(plain))
