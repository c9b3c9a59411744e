"""Releases that a change removes or replaces: another skill may pass only together with them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skillpm.environment.generation import differences
from skillpm.flows.evaluate.trials import Trials
from skillpm.flows.guard.quickxplain import minimal_culprits
from skillpm.flows.guard.remedies import subset_passes
from skillpm.flows.locking.lock_check import reachable
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.names import SkillName
from skillpm.store.packs import is_complete


@dataclass(frozen=True)
class RemovedReleases:
    """The releases that a change removes or replaces, as they were locked before."""

    trials: Trials
    releases: Mapping[SkillName, LockedSkill]

    @classmethod
    def of(cls, trials: Trials, before: Lockfile) -> "RemovedReleases":
        """Return the removed and replaced releases that the store still has."""
        store, skills = trials.stage.session.store, before.skills
        _, removed, changed = differences(skills, trials.lock.skills)
        releases = {entry.skill: skills[entry.skill] for entry in (*removed, *changed)}
        return cls(
            trials, {s: old for s, old in releases.items() if is_complete(store, old.digest)}
        )

    def culprits(self, victim: SkillName, beside: frozenset[SkillName]) -> tuple[SkillName, ...]:
        """Return a minimal set of removed releases without which a skill fails.

        Empty if the skill fails even with all of them, because then the removal is not the cause.
        """
        others = sorted(self.releases.keys() - {victim})

        def fails(left_out: frozenset[SkillName]) -> bool:
            kept = frozenset(s for s in others if not reachable(self.releases, [s]) & left_out)
            return self._with(kept).fails(victim, beside | kept)

        if not others or fails(frozenset()):
            return ()
        return minimal_culprits(fails, frozenset(), others)

    def refs(self, skills: Iterable[SkillName]) -> tuple[str, ...]:
        """Return the references of removed releases."""
        return tuple(self.releases[skill].ref for skill in skills)

    def restoring_passes(self, skills: Iterable[SkillName]) -> bool:
        """Whether the whole planned set passes if these releases are kept."""
        restored = self._with(skills)
        return subset_passes(restored, restored.lock.skills)

    def _with(self, kept: Iterable[SkillName]) -> Trials:
        """Return trials of the planned set plus these releases, whose own probes are not run."""
        kept = frozenset(kept)
        skills = {**self.trials.lock.skills, **{skill: self.releases[skill] for skill in kept}}
        lock = self.trials.lock.model_copy(update={"skill": list(skills.values())})
        carried = {s: probes for s, probes in self.trials.carried.items() if s not in kept}
        return Trials(self.trials.stage, lock.with_root(None), carried)
