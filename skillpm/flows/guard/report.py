"""The error of a change that the guard refuses: each failure, its culprits, and a remedy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skillpm.errors import GraftError
from skillpm.flows.evaluate.carried import ProbeResult
from skillpm.flows.guard.remedies import Remedy
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.probes import METRICS
from skillpm.spec.words import counted, distinct

_SHOWN = 20


@dataclass(frozen=True)
class ProbeFailure:
    """The failed probes of one skill, and the skills that cause the failure.

    `claim`: the pack does not reach its recorded values on this base. `alone`: the skill fails with
    no other skill installed, so it is its own culprit. `installed`: the culprits were installed
    before the change. `removed`: the culprits are releases that the change removes.
    """

    victim: SkillName
    failed: tuple[ProbeResult, ...]
    culprits: tuple[SkillName, ...]
    claim: bool = False
    alone: bool = False
    installed: bool = False
    removed: tuple[str, ...] = ()


class GuardError(GraftError):
    """A change after which a probe fails: each failure with its culprits, and a remedy."""

    def __init__(
        self, action: str, failures: Sequence[ProbeFailure], lock: Lockfile, remedy: Remedy
    ) -> None:
        self.action = action
        self.failures = tuple(failures)
        self.remedy = remedy
        super().__init__("\n".join(self._sentences(lock)), hint=remedy.hint)

    @property
    def culprits(self) -> frozenset[SkillName]:
        """Every culprit of any failure."""
        return frozenset(skill for failure in self.failures for skill in failure.culprits)

    def _sentences(self, lock: Lockfile) -> Iterator[str]:
        failed = {
            (result.skill, result.metric) for failure in self.failures for result in failure.failed
        }
        skills = counted(len({skill for skill, _ in failed}), "skill")
        yield (
            f"the guard stopped `{self.action}`: {counted(len(failed), 'probe')} of {skills} "
            "failed, and nothing was changed"
        )
        for failure in self.failures[:_SHOWN]:
            yield from (_failure(result, claim=failure.claim) for result in failure.failed)
            refs = failure.removed or [lock.skills[skill].ref for skill in failure.culprits]
            names = " and ".join(f"`{ref}`" for ref in refs)
            head = "the removal of " if failure.removed else ""
            yield f"    culprit: {head}{names}; {_reason(failure)}"
        if len(self.failures) > _SHOWN:
            yield f"  … and {counted(len(self.failures) - _SHOWN, 'more skill')}"


def _failure(result: ProbeResult, *, claim: bool) -> str:
    """Return the line of a failed probe, with enough digits to distinguish its values."""
    values = (result.recorded, result.reference, result.now, result.bound)
    recorded, reference, now, bound = distinct(*values)
    metric = METRICS[result.metric]
    record = recorded if reference == recorded else f"{recorded} (measured here: {reference})"
    place = "alone on this base" if claim else "with this change"
    if metric.is_possible(result.recorded):
        limit = f"expected {bound_words(result)} {bound}, found {now} {place}"
    else:
        limit = f"but the metric ranges from 0 to {metric.largest:g}; found {now} {place}"
    return f"  `{result.skill}` {result.metric}: recorded {record}, {limit}"


def bound_words(result: ProbeResult) -> str:
    """Return the direction of a result's bound: "at least", or "at most" for a loss."""
    return "at least" if METRICS[result.metric].higher_is_better else "at most"


def _reason(failure: ProbeFailure) -> str:
    pronoun = "it" if len(failure.culprits) == 1 else "them"
    if failure.claim:
        return "alone on the base, it does not reach the values that its manifest records"
    if failure.alone:
        return (
            "it fails with no other skill installed: its weight is too low or too high, or the "
            "router does not select it"
        )
    if failure.installed:
        return f"already installed, and the probes of `{failure.victim}` fail with {pronoun}"
    if failure.removed:
        removed = "that release" if len(failure.removed) == 1 else "those releases"
        return f"with {removed}, the probes of `{failure.victim}` pass"
    return f"without {pronoun}, the probes of `{failure.victim}` pass"
