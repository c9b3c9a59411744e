"""The forecast of a plan: which skills a merge of its set would hurt, before any download."""

from collections.abc import Callable, Collection, Mapping

from skillpm.errors import StateError
from skillpm.flows.packs.protocol import AnyPack
from skillpm.spec.forecast import REMEDIES, Forecast, forecast, share_text
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName


def forecast_lock(
    lock: Lockfile, packs: Mapping[SkillName, AnyPack], about: Collection[SkillName] | None
) -> Forecast:
    """The pairs of a lock that `about` names a skill of, from the manifests alone."""
    manifests = [packs[skill].manifest for skill in lock.skills]
    weights = {skill: locked.weight for skill, locked in lock.skills.items()}
    return forecast(manifests, weights, lock.graft.mode, about, method=lock.graft.method)


def accept_forecast(
    lock: Lockfile,
    packs: Mapping[SkillName, AnyPack],
    moved: Collection[SkillName],
    confirm: Callable[[str], bool | None],
) -> tuple[str, ...]:
    """A warning for each skill that what moved is forecast to hurt, once a person agrees to it.

    None where no pair with a skill of `moved` is forecast to cost a medium share or more. Raises
    `StateError` where the person does not agree.
    """
    found = forecast_lock(lock, packs, moved)
    if not any(pair.is_severe for pair in found.pairs):
        return ()
    notes = tuple(
        f"warning: `{one.skill}` is forecast to lose {share_text(one.harm)} of its gain to the "
        f"other skills ({one.level})"
        for one in found.skills
        if one.is_severe
    )
    if not notes:
        return ()
    notes = (*notes, f"ways out: {REMEDIES}")
    if confirm("\n".join((*notes, "Go on?"))) is False:
        raise StateError(
            "the forecast of what merging costs was not accepted, and nothing was changed",
            hint=f"{REMEDIES}; `-y` goes on",
        )
    return notes
