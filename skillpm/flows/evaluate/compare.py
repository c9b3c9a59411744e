"""`graft --compare`: the probes of a set with each merging method, and routed.

The base and each skill alone are the ends of the scale: nothing and all of the gain is kept.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from skillpm.environment.project import ProjectFolder
from skillpm.errors import GraftError, NotFoundError, ResolutionError, SpecError, UsageError
from skillpm.flows.evaluate.carried import (
    CarriedProbes,
    ProbeResult,
    probes_of_all,
    shares_kept,
)
from skillpm.flows.evaluate.measured import measure_alone
from skillpm.flows.evaluate.stage import CandidateEnvironment, open_candidate
from skillpm.flows.evaluate.trials import Trials
from skillpm.flows.graft.grafted_set import check_merged, select
from skillpm.flows.packs.quarantine import refuse_installed
from skillpm.flows.packs.signatures import signatures_of
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import LockedGraft, Lockfile
from skillpm.spec.merging import MERGED, METHODS, ROUTED, parse_method, parse_mode
from skillpm.spec.names import SkillName
from skillpm.spec.overrides import GraftOverrides, keeping_commands
from skillpm.spec.words import counted
from skillpm.store.packs import load_pack


@dataclass(frozen=True)
class ComparisonRequest:
    """What to compare: a part of the set, methods (all without any), settings, and a device."""

    only: tuple[SkillName, ...]
    methods: tuple[str, ...]
    overrides: GraftOverrides
    device: str


@dataclass(frozen=True)
class ComparedGraft:
    """The probe results of one way to graft a set.

    `graft` is None for the base and for each skill alone. With `problem`, the set cannot be grafted
    in this way, and there are no results. `keep` are the commands that give the project these
    settings; none if it has them.
    """

    name: str
    graft: LockedGraft | None
    results: tuple[ProbeResult, ...]
    seconds: float
    is_current: bool = False
    problem: str | None = None
    keep: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[float, float] | None:
        """The least and the mean share of gain that the probes keep, at most 1 each."""
        return shares_kept(self.results) if self.results else None


@dataclass(frozen=True)
class Comparison:
    """The rows of a comparison: the base, each skill alone, then the ways to graft the set.

    `without` are the skills without usable probes. `notes` are messages for the user.
    """

    generation: int
    rows: tuple[ComparedGraft, ...]
    without: tuple[SkillName, ...]
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> ComparedGraft | None:
        """The row whose worst probe keeps the most, then the best mean; the present one if equal.

        None if the set cannot be grafted in any way.
        """
        return self._best([row for row in self.rows if row.graft])

    @property
    def best_merged(self) -> ComparedGraft | None:
        """The best row that is one model."""
        return self._best([row for row in self.rows if row.graft and not row.graft.routed])

    @staticmethod
    def _best(rows: list[ComparedGraft]) -> ComparedGraft | None:
        able = [row for row in rows if row.kept is not None]
        return max(able, key=lambda row: (row.kept, row.is_current), default=None)


def compare(session: Session, request: ComparisonRequest) -> Comparison:
    """Run the probes of the installed skills with each method and routed. Writes no graft.

    Costs one decode of the set and one run of all probes for each row; the values of the base and
    of each skill alone are measured once for each home. Raises `GraftError` if no skill has probes,
    `NotFoundError` if nothing is installed.
    """
    project = ProjectFolder(session.project).require()
    current = project.generation()
    if not current.skills:
        raise NotFoundError(
            "no skill is installed in this project", hint="`skillpm install acme/math` installs one"
        )
    installed = select(current.lockfile, request.only)
    refuse_installed(session, project, installed)
    weighed = GraftOverrides(weights=request.overrides.weights).apply(installed)
    candidates, notes = _without_equal(session, _candidates(weighed, request), installed.graft)
    probes = probes_of_all(session, installed, "a comparison")
    session.say(_extent(candidates, probes))
    stage = open_candidate(session, project, request.device)
    stage.check_runs()
    advance = session.progress("comparing", len(candidates) + 1)
    started = time.monotonic()
    carried = {
        skill: replace(own, measured=measure_alone(stage, installed, own))
        for skill, own in probes.items()
    }
    advance(1)
    rows = list(_ends(carried, time.monotonic() - started))
    started = time.monotonic()
    for done, candidate in enumerate(candidates, start=1):
        rows.append(_compared(stage, candidate, carried, installed))
        advance(1)
        left = (time.monotonic() - started) / done * (len(candidates) - done)
        session.say(_finished(rows[-1], left))
    without = tuple(skill for skill in installed.skills if skill not in carried)
    return Comparison(current.number, tuple(rows), without, notes)


def _candidates(lock: Lockfile, request: ComparisonRequest) -> list[Lockfile]:
    """Return the lock with each way to graft it.

    Raises `UsageError` for an unknown mode or method, and for a setting that no method has.
    """
    given = request.overrides
    try:
        mode = None if given.mode is None else parse_mode(given.mode)
        methods = dict.fromkeys(map(parse_method, request.methods or METHODS))
    except SpecError as problem:
        raise UsageError(problem.message) from problem
    if mode == ROUTED and request.methods:
        raise UsageError(
            "a routed set is not merged, so it has no method",
            hint="leave out `--mode routed` or `--method`",
        )
    unknown = given.settings.keys() - {name for m in methods for name in METHODS[m]}
    if unknown:
        raise UsageError(
            f"no compared method has a setting `{min(unknown)}`",
            hint="`skillpm graft --compare --method ties --density 0.3`",
        )
    merged = [] if mode == ROUTED else [_merged_by(lock, method, given) for method in methods]
    whole = mode != MERGED and not request.methods
    return [*merged, *([GraftOverrides(mode=ROUTED).apply(lock)] if whole else [])]


def _without_equal(
    session: Session, candidates: list[Lockfile], current: LockedGraft
) -> tuple[list[Lockfile], tuple[str, ...]]:
    """Return the candidates without those that are equal to another, and a note on them.

    Methods differ only in tensors that several packs change. Of equal ones, the present is kept.
    """
    merged = [lock for lock in candidates if not lock.graft.routed]
    if len(merged) < 2 or _share_a_tensor(session, merged[0]):  # noqa: PLR2004 - one has no equal
        return candidates, ()
    kept = next((lock for lock in merged if lock.graft.method == current.method), merged[0])
    note = (
        "no two skills change the same tensor, so all methods give the same model; it was measured "
        f"with `{kept.graft.method}`"
    )
    return [lock for lock in candidates if lock.graft.routed or lock is kept], (note,)


def _share_a_tensor(session: Session, lock: Lockfile) -> bool:
    """Whether two packs of a lock change the same tensor."""
    seen: set[str] = set()
    for locked in lock.skills.values():
        manifest = load_pack(session.store, locked.digest).manifest
        tensors = {entry.tensor for entry in manifest.footprint}
        if tensors & seen:
            return True
        seen |= tensors
    return False


def _merged_by(lock: Lockfile, method: str, given: GraftOverrides) -> Lockfile:
    """Return the lock, merged by a method. A setting that the method does not have is left out."""
    settings = {name: value for name, value in given.settings.items() if name in METHODS[method]}
    return GraftOverrides(MERGED, method, settings).apply(lock)


def _ends(carried: Mapping[SkillName, CarriedProbes], seconds: float) -> Iterator[ComparedGraft]:
    """Yield the rows of the base and of each skill alone, from their measurements."""
    for name, value in (("base", "base"), ("alone", "value")):
        results = tuple(
            own.judge(metric, getattr(measured, value))
            for own in carried.values()
            for metric, measured in own.measured.items()
        )
        yield ComparedGraft(name, None, results, seconds / 2)


def _compared(
    stage: CandidateEnvironment,
    lock: Lockfile,
    carried: Mapping[SkillName, CarriedProbes],
    installed: Lockfile,
) -> ComparedGraft:
    started, graft = time.monotonic(), lock.graft
    results: tuple[ProbeResult, ...] = ()
    problem: str | None = None
    try:
        _check(stage.session, lock)
        results = tuple(Trials(stage, lock, carried).results(lock.skills))
    except (GraftError, ResolutionError) as error:
        problem = error.message
    keep = keeping_commands(installed, lock)
    seconds = time.monotonic() - started
    return ComparedGraft(graft.description, graft, results, seconds, not keep, problem, keep)


def _check(session: Session, lock: Lockfile) -> None:
    """Raise `GraftError` or `ResolutionError` if a set cannot be merged or routed."""
    if not lock.graft.routed:
        check_merged(session, lock)
    elif not signatures_of(session.store, lock.skills, lock.base.root)[0]:
        raise GraftError("no skill has a router signature, so the base would answer every text")


def _extent(candidates: list[Lockfile], probes: Mapping[SkillName, CarriedProbes]) -> str:
    """The size of the comparison, which is said before it starts."""
    items = sum(own.items for own in probes.values())
    ways, skills = counted(len(candidates), "way"), counted(len(probes), "skill")
    return (
        f"comparing {ways} to graft, on {counted(items, 'probe item')} of {skills}: "
        f"{len(candidates) * items} items, beside the base and each skill alone; `--method` limits "
        "them"
    )


def _finished(row: ComparedGraft, left: float) -> str:
    """A row in one line, with the seconds that the others will take if they are as fast."""
    end = f"; about {left:.0f} s left" if left else ""
    if row.kept is None:
        return f"{row.name}: not possible{end}"
    least, mean = row.kept
    return f"{row.name}: worst {least:.0%}, mean {mean:.0%} of the gain, {row.seconds:.1f} s{end}"
