"""What the guard says of a change that it stops: each failure with its culprits, and a remedy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skillpm.errors import GraftError
from skillpm.flows.evaluate.carried import ProbeResult
from skillpm.flows.guard.remedies import Remedy
from skillpm.flows.session.words import distinct
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.probes import METRICS
from skillpm.spec.words import counted

_SHOWN = 20


@dataclass(frozen=True)
class ProbeFailure:
    """Probes of one skill that fail, and the skills that cause it.

    `claim`: the pack records what it does not have on this base. `alone`: it fails with nothing
    else installed, so it is its own culprit. `installed`: it was there before this change.
    `taken`: the releases that the change takes away are the culprits.
    """

    victim: SkillName
    failed: tuple[ProbeResult, ...]
    culprits: tuple[SkillName, ...]
    claim: bool = False
    alone: bool = False
    installed: bool = False
    taken: tuple[str, ...] = ()


class GuardError(GraftError):
    """A change that would take a capability away: each failure with its culprits, and a remedy."""

    def __init__(
        self, action: str, blames: Sequence[ProbeFailure], lock: Lockfile, way: Remedy
    ) -> None:
        self.action = action
        self.blames = tuple(blames)
        self.way = way
        super().__init__("\n".join(self._sentences(lock)), hint=way.hint)

    @property
    def culprits(self) -> frozenset[SkillName]:
        """Every skill that is named as a culprit."""
        return frozenset(skill for blame in self.blames for skill in blame.culprits)

    def _sentences(self, lock: Lockfile) -> Iterator[str]:
        failed = {(one.skill, one.metric) for blame in self.blames for one in blame.failed}
        skills = counted(len({skill for skill, _ in failed}), "skill")
        yield (
            f"the guard stopped `{self.action}`: {counted(len(failed), 'probe')} of {skills} would "
            "not hold, and nothing was changed"
        )
        for blame in self.blames[:_SHOWN]:
            yield from (_failure(one, claim=blame.claim) for one in blame.failed)
            refs = blame.taken or [lock.skills[skill].ref for skill in blame.culprits]
            names = " and ".join(f"`{ref}`" for ref in refs)
            head = "the removal of " if blame.taken else ""
            yield f"    culprit: {head}{names}, {_why(blame)}"
        if len(self.blames) > _SHOWN:
            yield f"  … and {counted(len(self.blames) - _SHOWN, 'more skill')}"


def _failure(failed: ProbeResult, *, claim: bool) -> str:
    """One failed probe, its values with as many digits as tell them apart."""
    values = (failed.recorded, failed.reference, failed.now, failed.bound)
    recorded, reference, now, bound = distinct(*values)
    held = recorded if reference == recorded else f"{recorded} (measured here: {reference})"
    verb = "on this base alone it is" if claim else "would be"
    if METRICS[failed.metric].is_possible(failed.recorded):
        limit = f"may be {bound}"
    else:
        limit = f"which no model can have (0 to {METRICS[failed.metric].largest:g})"
    return f"  `{failed.skill}` {failed.metric}: recorded {held}, {verb} {now}, {limit}"


def _why(blame: ProbeFailure) -> str:
    if blame.claim:
        return "which does not hold on the base alone: it is lossy, or not what it says"
    if blame.alone:
        return "which does not hold on the base alone: its weight, or it is not routed to"
    if blame.installed:
        return f"installed already: with it `{blame.victim}` fails"
    if blame.taken:
        return f"with which `{blame.victim}` holds"
    return f"without which `{blame.victim}` holds"
