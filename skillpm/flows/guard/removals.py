"""What a change takes away: a skill may hold only together with one that goes, or that moves on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skillpm.environment.generation import differences
from skillpm.flows.evaluate.trials import Trials
from skillpm.flows.guard.quickxplain import smallest_culprits
from skillpm.flows.guard.remedies import holds
from skillpm.flows.locking.lock_check import reachable
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.names import SkillName
from skillpm.store.packs import is_complete


@dataclass(frozen=True)
class RemovedReleases:
    """The releases that a change removes or puts others in the place of, as they were."""

    trials: Trials
    gone: Mapping[SkillName, LockedSkill]

    @classmethod
    def of(cls, trials: Trials, before: Lockfile) -> "RemovedReleases":
        """What a planned set lacks of the one before it, as far as the store still has it."""
        store, skills = trials.stage.session.store, before.skills
        _, removed, changed = differences(skills, trials.lock.skills)
        gone = {one.skill: skills[one.skill] for one in (*removed, *changed)}
        return cls(trials, {s: one for s, one in gone.items() if is_complete(store, one.digest)})

    def culprits(self, victim: SkillName, beside: frozenset[SkillName]) -> tuple[SkillName, ...]:
        """The fewest of them for want of which a skill fails beside those that stay.

        None where it fails with all of them too: then the change is not to blame.
        """
        others = sorted(self.gone.keys() - {victim})

        def fails(left: frozenset[SkillName]) -> bool:
            kept = frozenset(s for s in others if not reachable(self.gone, [s]) & left)
            return self._with(kept).fails(victim, beside | kept)

        if not others or fails(frozenset()):
            return ()
        return smallest_culprits(fails, frozenset(), others)

    def refs(self, skills: Iterable[SkillName]) -> tuple[str, ...]:
        """These as they were."""
        return tuple(self.gone[skill].ref for skill in skills)

    def mend(self, skills: Iterable[SkillName]) -> bool:
        """Whether all the planned set holds where these stay as they were."""
        back = self._with(skills)
        return holds(back, back.lock.skills)

    def _with(self, kept: Iterable[SkillName]) -> Trials:
        """Trials of the planned set with these as they were, whose own probes are not asked."""
        kept = frozenset(kept)
        skills = {**self.trials.lock.skills, **{skill: self.gone[skill] for skill in kept}}
        lock = self.trials.lock.model_copy(update={"skill": list(skills.values())})
        carried = {s: one for s, one in self.trials.carried.items() if s not in kept}
        return Trials(self.trials.stage, lock.with_root(None), carried)
