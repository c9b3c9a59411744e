"""`probe`: is each installed capability still there, after a graft or routed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path

from skillpm.environment.project import Project
from skillpm.errors import GraftError, SpecError
from skillpm.flows.answering import Answers, Merged, answers_of
from skillpm.flows.fit import not_installed
from skillpm.flows.setting import Setting
from skillpm.flows.stage import open_stage, told_for_probes
from skillpm.probing.measure import figure, mean
from skillpm.running.foreign import ForeignModelFiles
from skillpm.running.runner import Runner
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.manifest import Capability
from skillpm.spec.names import SkillName
from skillpm.spec.oci import PROBES_TYPE
from skillpm.spec.probes import FILE_LIMIT, METRICS, Probes, parse_probes
from skillpm.store.packs import StoredPack, load_pack

CAPABILITY = "probe"
"""The name of the capabilities that `pack --probes` records."""
_NOTHING = -1e9
"""The least share of a gain that is told apart from worse."""


@dataclass(frozen=True)
class Carried:
    """The probes of a pack, with what it recorded of each metric."""

    skill: SkillName
    ref: str
    probes: Probes
    recorded: Mapping[str, Capability]


@dataclass(frozen=True)
class Result:
    """One metric of one skill. `bound` is the worst value that holds; `now` may be no number."""

    skill: SkillName
    metric: str
    base: float
    recorded: float
    now: float
    samples: int
    tolerance: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the capability is still there."""
        return METRICS[self.metric].holds(self.now, self.bound)

    @cached_property
    def kept(self) -> float:
        """The share of the recorded gain that is still there; 1 where nothing was gained."""
        metric = METRICS[self.metric]
        gained = metric.gain(self.recorded, self.base)
        if not isfinite(self.now):
            return _NOTHING
        share = metric.gain(self.now, self.base) / gained if gained > 0 else float(self.passed)
        return max(_NOTHING, share)


@dataclass(frozen=True)
class Probed:
    """What `probe` found; `without` are the skills that carry no probes it could use."""

    generation: int
    mode: str
    results: tuple[Result, ...]
    without: tuple[SkillName, ...]

    @property
    def passed(self) -> bool:
        """Whether every capability is still there."""
        return all(result.passed for result in self.results)


def probe(
    setting: Setting, skills: Sequence[SkillName], *, device: str, graft: Path | None = None
) -> Probed:
    """Evaluate the probes of these skills, of all where none is named, on what is installed.

    On the model in `graft` where that is given. Writes nothing to the project.
    """
    project = Project(setting.project)
    current = project.generation()
    lock = current.lockfile
    for skill in skills:
        if skill not in lock.skills:
            raise not_installed(skill, lock.skills)
    wanted = [skill for skill in lock.skills if not skills or skill in skills]
    carried = carried_by(setting, lock, wanted)
    without = tuple(skill for skill in wanted if skill not in carried)
    if not carried:
        return Probed(current.number, lock.graft.mode, (), without)
    if graft is not None:
        with told_for_probes():
            foreign = ForeignModelFiles() if _brings_files(setting, lock) else None
            answers: Answers = Merged(Runner.load(graft, device, foreign))
    else:
        answers = answers_of(open_stage(setting, project, device), lock)
    results = tuple(r for one in carried.values() for r in evaluate(setting, answers, one))
    return Probed(current.number, lock.graft.mode, results, without)


def _brings_files(setting: Setting, lock: Lockfile) -> bool:
    """Whether a pack of the set has side files, which transformers would read in a graft."""
    return any(load_pack(setting.store, one.digest).manifest.files for one in lock.skills.values())


def evaluate(setting: Setting, answers: Answers, carried: Carried) -> list[Result]:
    """Every recorded metric of one pack, as it is answered now."""
    results = []
    asked = sum(len(carried.probes.items[name]) for name in carried.recorded)
    advance = setting.progress("probe items", asked)
    for name, recorded in carried.recorded.items():
        samples, tolerance = len(carried.probes.items[name]), carried.probes.tolerances[name]
        base = recorded.value if recorded.base_value is None else recorded.base_value
        metric = METRICS[name]
        leeway = metric.allowance(recorded.value, base, samples=samples, tolerance=tolerance)
        now = _now(answers, carried, name)
        advance(samples)
        bound = figure(metric.bound(recorded.value, leeway))
        results.append(
            Result(carried.skill, name, base, recorded.value, now, samples, tolerance, bound)
        )
    return results


def _now(answers: Answers, carried: Carried, metric: str) -> float:
    """The value of one metric now. An error says whose probe it was."""
    try:
        return figure(mean(answers.scores(metric, carried.probes.items[metric])))
    except GraftError as problem:
        raise GraftError(
            f"the probes of `{carried.ref}` cannot be asked: {problem.message}",
            hint=_without(carried.skill),
        ) from problem


def _without(skill: SkillName) -> str:
    return f"leave it out (`skillpm uninstall {skill}`), and ask its author for another pack"


def carried_by(
    setting: Setting, lock: Lockfile, skills: Sequence[SkillName]
) -> dict[SkillName, Carried]:
    """The probes of those of these skills that carry any, with recorded values.

    Raises `SpecError` where a pack's probes cannot be read.
    """
    found = {}
    for skill in skills:
        carried = _carried(load_pack(setting.store, lock.skills[skill].digest))
        if carried is not None:
            found[skill] = carried
    return found


def _carried(pack: StoredPack) -> Carried | None:
    layers = pack.image.layer(PROBES_TYPE)
    manifest = pack.manifest
    named = {one.metric: one for one in manifest.capabilities if one.name == CAPABILITY}
    if not layers or not named:
        return None
    if layers[0].size > FILE_LIMIT:
        raise SpecError(
            f"the probe file of {manifest.ref} has {layers[0].size} bytes: {FILE_LIMIT} are read"
        )
    try:
        probes = parse_probes(pack.read(layers[0].digest), f"the probe file of {manifest.ref}")
    except SpecError as problem:
        problem.hint = _without(manifest.skill)
        raise
    recorded = {name: named[name] for name in probes.items if name in named}
    return Carried(manifest.skill, manifest.ref, probes, recorded) if recorded else None
