"""`--guard`: all probes of what is to be installed hold, or nothing changes and a culprit is named.

Evaluated on the planned set, after its blobs have come and before anything is switched.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from skillpm.environment.generation import differences
from skillpm.environment.project import Project
from skillpm.errors import GraftError
from skillpm.flows.catalogue import Registries
from skillpm.flows.change import Plan
from skillpm.flows.culprits import smallest_culprits
from skillpm.flows.fit import reachable
from skillpm.flows.probe import Result, carried_by
from skillpm.flows.restore import fetch_all
from skillpm.flows.setting import Setting
from skillpm.flows.stage import open_stage
from skillpm.flows.taken import Taken
from skillpm.flows.trials import Trials, without
from skillpm.flows.waysout import Way, way_out
from skillpm.flows.words import counted
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.store.packs import fetch_pack

_SHOWN = 20


@dataclass(frozen=True)
class Blame:
    """Probes of one skill that fail, and who brings that about.

    `alone`: it fails with nothing else installed, so it is its own culprit. `before`: it fails
    without the change too. `taken`: the releases that the change takes away are the culprits.
    """

    victim: SkillName
    failed: tuple[Result, ...]
    culprits: tuple[SkillName, ...]
    alone: bool = False
    before: bool = False
    taken: tuple[str, ...] = ()


class GuardError(GraftError):
    """A change that would take a capability away: each failure with its culprits, and a way out."""

    def __init__(self, action: str, blames: Sequence[Blame], lock: Lockfile, way: Way) -> None:
        self.action = action
        self.blames = tuple(blames)
        self.way = way
        super().__init__("\n".join(self._sentences(lock)), hint=way.hint)

    @property
    def culprits(self) -> frozenset[SkillName]:
        """Every skill that is named as a culprit."""
        return frozenset(skill for blame in self.blames for skill in blame.culprits)

    def _sentences(self, lock: Lockfile) -> Iterator[str]:
        count = sum(len(blame.failed) for blame in self.blames)
        yield (
            f"the guard stopped `{self.action}`: {count} probe{'s' * (count > 1)} would not hold, "
            "and nothing was changed"
        )
        for blame in self.blames[:_SHOWN]:
            for one in blame.failed:
                yield (
                    f"  `{one.skill}` {one.metric}: recorded {one.recorded:.4g}, would be "
                    f"{one.now:.4g}, may be {one.bound:.4g}"
                )
            refs = blame.taken or [lock.skills[skill].ref for skill in blame.culprits]
            names = " and ".join(f"`{ref}`" for ref in refs)
            head = "the removal of " if blame.taken else ""
            yield f"    culprit: {head}{names}, {_why(blame)}"
        if len(self.blames) > _SHOWN:
            yield f"  … and {len(self.blames) - _SHOWN} more skills"


def _why(blame: Blame) -> str:
    if blame.alone:
        return "which does not hold on the base alone: lossy, not routed to, or not what it says"
    if blame.before:
        return "installed already: it fails without this change too"
    if blame.taken:
        return f"with which `{blame.victim}` holds"
    return f"without which `{blame.victim}` holds"


def guard(
    setting: Setting, project: Project, registries: Registries, plan: Plan, /, *, device: str
) -> tuple[str, ...]:
    """Notes on a plan whose probes all hold. Raises `GuardError` where one does not.

    What `graft` would refuse raises what it raises there, without probes too. Costs one composition
    of the planned set and the probes of all its skills; where one fails, another few of parts of
    it. Brings the set's blobs into the store.
    """
    before, lock = project.generation().lockfile, plan.lock
    if lock.same_set(before) or not lock.skill:
        return ()
    for pack in registries.files:
        fetch_pack(setting.store, pack.digest, pack)
    fetch_all(setting, registries, lock)
    carried = carried_by(setting, lock, list(lock.skills))
    unguarded = [skill for skill in lock.skills if skill not in carried]
    notes = (
        [f"unguarded, for want of probes: {', '.join(map(str, unguarded))}"] if unguarded else []
    )
    stage = open_stage(setting, project, device)
    if lock.graft.routed or not carried:
        stage.check(lock)
    if not carried:
        return tuple(notes)
    trials = Trials(stage, lock, carried)
    results = trials.results(lock.skills)
    if all(one.passed for one in results):
        values, skills = counted(len(results), "probe value"), counted(len(carried), "skill")
        held = f"the guard holds: {values} of {skills}"
        return (held, *notes)
    taken = Taken.of(trials, before)
    blames, leave = _blames(trials, taken, _moved(before, lock), results)
    wishes = project.read_file().skills if plan.wishes is None else plan.wishes
    alone = any(blame.alone for blame in blames)
    way = way_out(trials, leave, wishes, alone=alone, fixed=plan.fixed)
    raise GuardError(plan.action, blames, lock, _keeping(way, taken, blames))


def _keeping(way: Way, taken: Taken, blames: Sequence[Blame]) -> Way:
    """The way out where a change is stopped for what it takes away: that stays."""
    skills = sorted({skill for blame in blames if blame.taken for skill in blame.culprits})
    if not skills:
        return way
    names = ", ".join(f"`{ref}`" for ref in taken.refs(skills))
    mended = not way.leave_out and taken.mend(skills)
    keep = f"keep {names}{': all probes hold then' if mended else ''}"
    return replace(way, hint=f"{keep}; {way.hint}" if way.leave_out else keep, mended=mended)


def _moved(before: Lockfile, after: Lockfile) -> frozenset[SkillName]:
    """The skills that the change adds or changes; all, where they are to be merged otherwise."""
    if before.graft.manner != after.graft.manner:
        return frozenset(after.skills)
    added, _, changed = differences(before.skills, after.skills)
    return frozenset(one.skill for one in (*added, *changed))


def _blames(
    trials: Trials, taken: Taken, moved: frozenset[SkillName], results: Sequence[Result]
) -> tuple[tuple[Blame, ...], frozenset[SkillName]]:
    """Blames for what fails, and the skills without which all that is left holds.

    One victim is searched for at a time, and what it hangs on is left out; whoever holds then
    shares its blame. A skill that is left out itself is no victim any more; one that fails for want
    of what the change takes away is mended by nobody's leaving.
    """
    failed = _failed(results)
    blames: list[Blame] = []
    left_out, wanting = set[SkillName](), set[SkillName]()
    waiting, rest = sorted(failed), frozenset(trials.lock.skills)
    while waiting:
        blame = _blame(trials, taken, waiting[0], rest, moved & rest)
        if blame.taken:
            blames.append(replace(blame, failed=failed[blame.victim]))
            wanting.add(waiting.pop(0))
            continue
        gone = (moved & {*blame.culprits}) or (moved & {blame.victim}) or {*blame.culprits}
        left_out |= gone
        rest = without(trials.lock, left_out)
        still = _failed([one for one in trials.results(rest) if one.skill not in wanting])
        mended = {blame.victim, *(skill for skill in waiting if skill in rest - still.keys())}
        blames += [
            Blame(
                skill,
                failed[skill],
                blame.culprits if skill == blame.victim else tuple(sorted(gone)),
                alone=blame.alone and skill == blame.victim,
                before=blame.before and skill not in moved,
            )
            for skill in sorted(mended)
        ]
        failed = {**still, **failed}
        waiting = sorted(still)
    return tuple(blames), frozenset(left_out)


def _failed(results: Sequence[Result]) -> dict[SkillName, tuple[Result, ...]]:
    bad = [one for one in results if not one.passed]
    return {skill: tuple(o for o in bad if o.skill == skill) for skill in {o.skill for o in bad}}


def _in_order(lock: Lockfile, skills: Iterable[SkillName]) -> list[SkillName]:
    """Requirements before what requires them: what is tried alone brings its own along."""
    return sorted(skills, key=lambda skill: (len(reachable(lock.skills, [skill])), skill))


def _blame(
    trials: Trials,
    taken: Taken,
    victim: SkillName,
    rest: frozenset[SkillName],
    moved: frozenset[SkillName],
) -> Blame:
    """Who makes one skill fail in `rest`, which is all that has not been left out so far."""
    if trials.fails(victim, {victim}):
        return Blame(victim, (), (victim,), alone=True)
    own = frozenset({victim})
    new, old = _in_order(trials.lock, moved - own), _in_order(trials.lock, rest - moved - own)
    settled = own | frozenset(old)

    def fails(skills: frozenset[SkillName]) -> bool:
        return trials.fails(victim, skills)

    if not new or (old and fails(settled)):
        lost = taken.culprits(victim, settled)
        if lost:
            return Blame(victim, (), lost, taken=taken.refs(lost))
        culprits = smallest_culprits(fails, own, old)
        return Blame(victim, (), culprits, before=victim not in moved)
    return Blame(victim, (), smallest_culprits(fails, settled, new))
