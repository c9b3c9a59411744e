"""The forecast of a plan: which skills a merge of its set would hurt, before any download."""

from collections.abc import Collection, Mapping

from skillpm.flows.anypack import AnyPack
from skillpm.spec.forecast import Forecast, forecast
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName


def forecast_lock(
    lock: Lockfile, packs: Mapping[SkillName, AnyPack], about: Collection[SkillName] | None
) -> Forecast:
    """The pairs of a lock that `about` names a skill of, from the manifests alone."""
    manifests = [packs[skill].manifest for skill in lock.skills]
    weights = {skill: locked.weight for skill, locked in lock.skills.items()}
    return forecast(manifests, weights, lock.graft.mode, about, method=lock.graft.method)
