"""Remedies for a change that the guard refused; weights and removals are tried first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skillpm.errors import GraftError, ResolutionError
from skillpm.flows.evaluate.trials import Trials, remaining
from skillpm.spec.compat import is_scalable
from skillpm.spec.names import SkillName
from skillpm.store.packs import load_pack

WEIGHTS = (0.7, 0.5, 0.3)
"""The fractions of its weight at which a culprit is tried, largest first."""

_AGAIN = "then run the same command again"
_AFTER = "after the same command without `--guard`, then run `skillpm install --guard`"


@dataclass(frozen=True)
class Remedy:
    """The advice of a refusal: weights at which all probes pass, and the skills to leave out.

    `others_pass` states whether all other skills pass without them.
    """

    hint: str
    weights: Mapping[SkillName, float]
    leave_out: frozenset[SkillName]
    others_pass: bool


def find_remedy(
    trials: Trials,
    suspects: frozenset[SkillName],
    requirements: Iterable[str],
    *,
    alone: bool,
    fixed: bool = False,
) -> Remedy:
    """Look for lower weights, and suggest routing and leaving the suspects out.

    With `alone`, a suspect fails with no other skill installed, so lower weights cannot help. A
    `fixed` change brings its own weights, so an edit of skillpm.toml takes effect only after it.
    Only skills in `requirements`, the skills of skillpm.toml, can be given a weight. Costs up to
    four compositions.
    """
    rest = remaining(trials.lock, suspects)
    others_pass = subset_passes(trials, rest)
    required = set(requirements)
    weights: dict[SkillName, float] = {}
    routed = trials.lock.graft.routed
    if not alone and not routed and all(str(skill) in required for skill in suspects):
        weights = _weights(trials, suspects)
    route, again = not (alone or routed), _AFTER if fixed else _AGAIN
    options = _sentences(
        trials, suspects, weights, others_pass=others_pass, route=route, again=again
    )
    hint = "; or ".join(options)
    return Remedy(hint, weights, suspects, others_pass)


def _weights(trials: Trials, suspects: frozenset[SkillName]) -> dict[SkillName, float]:
    """Return the largest tried weights at which every probe passes, or an empty mapping."""
    store = trials.stage.session.store
    packs = [load_pack(store, trials.lock.skills[skill].digest) for skill in suspects]
    if not all(is_scalable(pack.manifest) for pack in packs):
        return {}
    for share in WEIGHTS:
        weights = {s: round(share * trials.lock.skills[s].weight, 6) for s in sorted(suspects)}
        if subset_passes(trials, trials.lock.skills, weights):
            return weights
    return {}


def subset_passes(
    trials: Trials, skills: Iterable[SkillName], weights: Mapping[SkillName, float] | None = None
) -> bool:
    """Whether all probes of a subset pass; False if the subset cannot be composed."""
    try:
        return trials.pass_probes(skills, weights)
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
    others_pass: bool,
    route: bool,
    again: str,
) -> list[str]:
    options = []
    if weights:
        lines = ", ".join(_line(trials, skill, weight) for skill, weight in weights.items())
        options.append(
            f"lower the weight so that all probes pass: {lines} under `[skills]` in skillpm.toml, "
            f"{again}"
        )
    names = ", ".join(f"`{skill}`" for skill in sorted(suspects))
    if route:
        options.append(
            "route instead of merging, if the packs have router signatures: "
            f"`skillpm config set graft.mode routed`, {again}"
        )
    tail = "; the probes of all other skills then pass" if others_pass else ""
    options.append(f"leave out {names}{tail}")
    return options
