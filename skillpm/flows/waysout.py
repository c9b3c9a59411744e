"""Ways out of a change that the guard stopped, each tried before it is named."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skillpm.errors import GraftError
from skillpm.flows.probe import Result
from skillpm.flows.trials import Trials, without
from skillpm.spec.names import SkillName

WEIGHTS = (0.7, 0.5, 0.3)
"""The shares of its weight that a culprit is tried at, largest first."""


@dataclass(frozen=True)
class Way:
    """What a person can do: the weights at which all holds, and who had better be left out.

    `mended` says whether all others hold without them.
    """

    hint: str
    weights: Mapping[SkillName, float]
    leave_out: frozenset[SkillName]
    mended: bool


def way_out(
    trials: Trials, suspects: frozenset[SkillName], wishes: Iterable[str], *, alone: bool
) -> Way:
    """Lower weights, routing, leaving out. `alone`: a suspect fails by itself, so weights are vain.

    Costs up to four compositions. Only a skill that skillpm.toml names can be given a weight.
    """
    rest = without(trials.lock, suspects)
    mended = all(one.passed for one in _tried(trials, rest))
    named = set(wishes)
    weights: dict[SkillName, float] = {}
    if not alone and all(str(skill) in named for skill in suspects):
        weights = _weights(trials, suspects)
    hint = "; or ".join(_sentences(trials, suspects, weights, mended=mended, alone=alone))
    return Way(hint, weights, suspects, mended)


def _weights(trials: Trials, suspects: frozenset[SkillName]) -> dict[SkillName, float]:
    """The largest of the weights at which every probe holds, the suspects' own too."""
    for share in WEIGHTS:
        weights = {s: round(share * trials.lock.skills[s].weight, 6) for s in sorted(suspects)}
        results = _tried(trials, trials.lock.skills, weights)
        if results and all(one.passed for one in results):
            return weights
    return {}


def _tried(
    trials: Trials, skills: Iterable[SkillName], weights: Mapping[SkillName, float] | None = None
) -> list[Result]:
    """The results of a trial; none where the set cannot be put together so."""
    try:
        return trials.results(skills, weights=weights)
    except GraftError:
        return []


def _line(trials: Trials, skill: SkillName, weight: float) -> str:
    version = trials.lock.skills[skill].version
    return f'`"{skill}" = {{ version = "^{version}", weight = {weight} }}`'


def _sentences(
    trials: Trials,
    suspects: frozenset[SkillName],
    weights: Mapping[SkillName, float],
    *,
    mended: bool,
    alone: bool,
) -> list[str]:
    found = []
    if weights:
        lines = ", ".join(_line(trials, skill, weight) for skill, weight in weights.items())
        found.append(
            f"with less weight all probes hold: {lines} under `[skills]` in skillpm.toml, then the "
            "same command again"
        )
    names = ", ".join(f"`{skill}`" for skill in sorted(suspects))
    if not alone:
        found.append(
            'route instead of merging: `mode = "routed"` under `[graft]` in skillpm.toml, then '
            "the same command again"
        )
    tail = ": all others hold then" if mended else ""
    found.append(f"leave out {names}{tail}")
    return found
