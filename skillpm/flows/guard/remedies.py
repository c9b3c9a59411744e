"""Ways out of a change that the guard stopped, each tried before it is named."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skillpm.errors import GraftError, ResolutionError
from skillpm.flows.evaluate.trials import Trials, without
from skillpm.spec.compat import is_scalable
from skillpm.spec.names import SkillName
from skillpm.store.packs import load_pack

WEIGHTS = (0.7, 0.5, 0.3)
"""The shares of its weight that a culprit is tried at, largest first."""

_AGAIN = "then the same command again"
_AFTER = "after the same command without `--guard`, then `skillpm install --guard`"


@dataclass(frozen=True)
class Remedy:
    """What a person can do: the weights at which all holds, and who had better be left out.

    `mended` says whether all others hold without them.
    """

    hint: str
    weights: Mapping[SkillName, float]
    leave_out: frozenset[SkillName]
    mended: bool


def way_out(
    trials: Trials,
    suspects: frozenset[SkillName],
    wishes: Iterable[str],
    *,
    alone: bool,
    fixed: bool = False,
) -> Remedy:
    """Lower weights, routing, leaving out. `alone`: a suspect fails by itself, so weights are vain.

    A `fixed` change comes with its own weights: skillpm.toml is asked only once it is made. Costs
    up to four compositions. Only a skill that skillpm.toml names can be given a weight.
    """
    rest = without(trials.lock, suspects)
    mended = holds(trials, rest)
    named = set(wishes)
    weights: dict[SkillName, float] = {}
    routed = trials.lock.graft.routed
    if not alone and not routed and all(str(skill) in named for skill in suspects):
        weights = _weights(trials, suspects)
    route, again = not (alone or routed), _AFTER if fixed else _AGAIN
    told = _sentences(trials, suspects, weights, mended=mended, route=route, again=again)
    hint = "; or ".join(told)
    return Remedy(hint, weights, suspects, mended)


def _weights(trials: Trials, suspects: frozenset[SkillName]) -> dict[SkillName, float]:
    """The largest of the weights at which every probe holds, the suspects' own too."""
    store = trials.stage.session.store
    packs = [load_pack(store, trials.lock.skills[skill].digest) for skill in suspects]
    if not all(is_scalable(pack.manifest) for pack in packs):
        return {}
    for share in WEIGHTS:
        weights = {s: round(share * trials.lock.skills[s].weight, 6) for s in sorted(suspects)}
        if holds(trials, trials.lock.skills, weights):
            return weights
    return {}


def holds(
    trials: Trials, skills: Iterable[SkillName], weights: Mapping[SkillName, float] | None = None
) -> bool:
    """Whether all probes of a trial hold; not so where the set cannot be put together."""
    try:
        return trials.hold(skills, weights)
    except (GraftError, ResolutionError):
        return False


def _line(trials: Trials, skill: SkillName, weight: float) -> str:
    version = trials.lock.skills[skill].version
    return f'`"{skill}" = {{ version = "^{version}", weight = {weight} }}`'


def _sentences(
    trials: Trials,
    suspects: frozenset[SkillName],
    weights: Mapping[SkillName, float],
    *,
    mended: bool,
    route: bool,
    again: str,
) -> list[str]:
    found = []
    if weights:
        lines = ", ".join(_line(trials, skill, weight) for skill, weight in weights.items())
        found.append(
            f"with less weight all probes hold: {lines} under `[skills]` in skillpm.toml, {again}"
        )
    names = ", ".join(f"`{skill}`" for skill in sorted(suspects))
    if route:
        found.append(
            "route instead of merging, where packs carry a router signature: "
            f'`mode = "routed"` under `[graft]` in skillpm.toml, {again}'
        )
    tail = ": all others hold then" if mended else ""
    found.append(f"leave out {names}{tail}")
    return found
