"""The forecast of a plan: which skills a merge would harm, before anything is downloaded."""

from collections.abc import Callable, Collection, Mapping

from skillpm.errors import StateError
from skillpm.flows.packs.protocol import AnyPack
from skillpm.spec.forecast import REMEDIES, Forecast, forecast, share_text
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName


def forecast_lock(
    lock: Lockfile, packs: Mapping[SkillName, AnyPack], about: Collection[SkillName] | None
) -> Forecast:
    """The forecast for every pair with a skill of `about` (None: all pairs), from manifests."""
    manifests = [packs[skill].manifest for skill in lock.skills]
    weights = {skill: locked.weight for skill, locked in lock.skills.items()}
    return forecast(manifests, weights, lock.graft.mode, about, method=lock.graft.method)


def accept_forecast(
    lock: Lockfile,
    packs: Mapping[SkillName, AnyPack],
    moved: Collection[SkillName],
    confirm: Callable[[str], bool | None],
) -> tuple[str, ...]:
    """A warning for each skill that the new skills are forecast to harm, after the user agreed.

    Empty if no pair with a skill of `moved` is forecast to lose a medium share or more. Raises
    `StateError` if the user declines.
    """
    result = forecast_lock(lock, packs, moved)
    if not any(pair.is_severe for pair in result.pairs):
        return ()
    notes = tuple(
        f"warning: `{skill.skill}` is forecast to lose {share_text(skill.harm)} of its gain to the "
        f"other skills ({skill.level})"
        for skill in result.skills
        if skill.is_severe
    )
    if not notes:
        return ()
    notes = (*notes, f"remedies: {REMEDIES}")
    if confirm("\n".join((*notes, "Go on?"))) is False:
        raise StateError(
            "the merge was declined because of its forecast; nothing was changed",
            hint=f"{REMEDIES}; or use `-y` to go on",
        )
    return notes
