"""Settings of `[graft]` and weights for one run, and the commands that keep them."""

import shlex
from collections.abc import Iterator, Mapping
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


def keeping_commands(before: Lockfile, after: Lockfile) -> tuple[str, ...]:
    """The commands that make the settings and weights of `after` those of the project, in order.

    Empty if they are equal. The last command locks them and makes a generation.
    """
    pairs = list(_changed_settings(before.graft, after.graft))
    set_all = f"skillpm config set {shlex.join(word for pair in pairs for word in pair)}"
    weights = {
        skill: locked.weight
        for skill, locked in after.skills.items()
        if skill in before.skills and before.skills[skill].weight != locked.weight
    }
    given = [f"--weight {skill}={weight}" for skill, weight in weights.items()]
    install = " ".join(["skillpm install", *map(str, weights), *given])
    return (*([set_all] if pairs else []), *([install] if pairs or weights else []))


def _changed_settings(before: LockedGraft, after: LockedGraft) -> Iterator[tuple[str, str]]:
    """The settings that `config set` has to change, with their new values."""
    if before.mode != after.mode:
        yield "graft.mode", after.mode
    old = before.settings
    if before.method != after.method:
        yield "graft.method", after.method
        old = {name: setting.default for name, setting in METHODS[after.method].items()}
    for name, value in after.settings.items():
        if value != old.get(name):
            yield f"graft.{name}", str(value)
