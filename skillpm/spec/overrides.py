"""Settings of `[graft]` and weights for one run, and the commands that keep them."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from skillpm.errors import SpecError, UsageError
from skillpm.spec.lockfile import LockedGraft, Lockfile
from skillpm.spec.merging import METHODS, Merging, Scalar, parse_method, parse_mode
from skillpm.spec.weights import WeightsGiven, weights_of


@dataclass(frozen=True)
class GraftOverrides:
    """What one run does differently than the lock; None and empty values leave the lock's.

    `settings` are those of the merging method, by name. `weights` is one weight for all skills, or
    weights by skill.
    """

    mode: str | None = None
    method: str | None = None
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    weights: WeightsGiven = None

    def apply(self, lock: Lockfile) -> Lockfile:
        """The lock with these settings; the same lock, with its root, if they change nothing.

        Another method starts from its defaults. Raises `UsageError` for an unknown mode, method or
        setting, for a value out of range, and for a weight of a skill that is not in the lock.
        """
        weights = weights_of(self.weights, lock.skills)
        try:
            graft = self._graft(lock.graft)
        except SpecError as problem:
            raise UsageError(problem.message, hint=self._hint(lock.graft)) from problem
        changed = lock.model_copy(update={"graft": graft}).with_weights(weights)
        return lock if changed.same_set(lock) else changed

    def _graft(self, graft: LockedGraft) -> LockedGraft:
        method = graft.method if self.method is None else parse_method(self.method)
        before = graft.settings if method == graft.method else {}
        merging = Merging(method, {**before, **self.settings})
        mode = graft.mode if self.mode is None else parse_mode(self.mode)
        new = {"mode": mode, "method": merging.method, "settings": merging.all_settings}
        return graft.model_copy(update=new)

    def _hint(self, graft: LockedGraft) -> str | None:
        """A method that has all these settings, if the present one has not."""
        method = graft.method if self.method is None else self.method
        if self.settings.keys() <= METHODS.get(method, {}).keys():
            return None
        able = [name for name, known in METHODS.items() if self.settings.keys() <= known.keys()]
        return f"add `--method {able[0]}`" if able else None


def keeping_command(before: LockedGraft, after: LockedGraft) -> str | None:
    """The command that makes `after` the settings of the project; None if they are equal."""
    known = METHODS[after.method]
    defaults = {name: setting.default for name, setting in known.items()}
    old = before.settings if before.method == after.method else defaults
    pairs = [("graft.mode", after.mode)] if before.mode != after.mode else []
    if before.method != after.method:
        pairs.append(("graft.method", after.method))
    pairs += [(f"graft.{name}", str(v)) for name, v in after.settings.items() if v != old.get(name)]
    words = [word for pair in pairs for word in pair]
    return f"skillpm config set {shlex.join(words)}" if words else None


def weighing_command(before: Lockfile, after: Lockfile) -> str | None:
    """The command that makes the weights of `after` those of the project; None if all are equal."""
    new = {
        skill: locked.weight
        for skill, locked in after.skills.items()
        if skill in before.skills and before.skills[skill].weight != locked.weight
    }
    if not new:
        return None
    given = [f"--weight {skill}={weight}" for skill, weight in new.items()]
    return " ".join(["skillpm install", *map(str, new), *given])
