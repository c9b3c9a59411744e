"""Hostile router signatures; each is a function of public data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skillpm.routing.signature import MOST, MOST_BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillpm.routing.signature import Array

Pair = tuple["Array", "Array"]
ATTACKS: dict[str, Callable[[Scene], Pair]] = {}


@dataclass(frozen=True)
class Scene:
    """The attacker's knowledge: every skill's examples, the general background, one own subject.

    The first skill is the victim; the second is another skill that the attacker may use against it.
    """

    skills: Sequence[Array]
    general: Array
    own: Array
    chance: np.random.Generator

    @property
    def victim(self) -> Array:
        """The victim's examples."""
        return self.skills[0]

    @property
    def middle(self) -> Array:
        """The mean of the victim's examples."""
        return np.asarray(self.victim.mean(axis=0))

    @property
    def across(self) -> Array:
        """The direction from the second skill's mean to the victim's."""
        found = self.middle - self.skills[1].mean(axis=0)
        return np.asarray(found / np.linalg.norm(found))

    @property
    def all_examples(self) -> Array:
        """All skills' examples, interleaved."""
        return np.concatenate([np.stack(rows) for rows in zip(*self.skills, strict=False)])

    def random(self, count: int) -> Array:
        """Random directions."""
        return np.asarray(self.chance.standard_normal((count, self.victim.shape[1])))


def unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def repeated(rows: Array, count: int = MOST) -> Array:
    return np.asarray(np.tile(rows, (-(-count // len(rows)), 1))[:count])


def signs(count: int) -> Array:
    return np.where(np.arange(count)[:, None] % 2, 1.0, -1.0)


def pushed(step: float, texts: Callable[[Scene], Array]) -> Callable[[Scene], Array]:
    """Copies of the victim's examples, moved away from the mean of some texts."""
    return lambda s: repeated(s.victim) + step * (s.middle - texts(s).mean(axis=0))


def tilted(part: float) -> Callable[[Scene], Array]:
    """Weighted means of two victims' examples."""
    return lambda s: part * repeated(s.victim) + (1 - part) * repeated(s.skills[1])


def examples(name: str) -> Callable[[Callable[[Scene], Array]], None]:
    """An attack by examples, with the honest background."""

    def add(make: Callable[[Scene], Array]) -> None:
        ATTACKS[name] = lambda scene: (unit(make(scene)), scene.general)

    return add


def background(name: str) -> Callable[[Callable[[Scene], Array]], None]:
    """An attack by a background, with the examples of an honest skill."""

    def add(make: Callable[[Scene], Array]) -> None:
        ATTACKS[name] = lambda scene: (scene.own, unit(make(scene)))

    return add


ATTACKS["none: an honest eleventh skill"] = lambda scene: (scene.own, scene.general)
# Exact and disguised copies of a victim.
examples("128 copies of the victim's examples")(lambda s: repeated(s.victim))
examples("the victim's examples once")(lambda s: s.victim)
examples("half of the victim's examples")(lambda s: s.victim[: len(s.victim) // 2])
examples("a quarter of the victim's examples")(lambda s: s.victim[: len(s.victim) // 4])
examples("3/4 copies, 1/4 of another subject")(lambda s: np.concatenate([s.victim[:24], s.own[:8]]))
examples("1/2 copies, 1/2 of another subject")(
    lambda s: np.concatenate([s.victim[:16], s.own[:16]])
)
examples("copies with noise")(lambda s: repeated(s.victim) + 0.5 * unit(s.random(MOST)))
examples("one example repeated")(lambda s: repeated(s.victim[:1]))
examples("the victim's mean, no variance")(lambda s: repeated(s.middle[None]))
examples("copies drawn to their mean")(lambda s: s.middle + 0.3 * (repeated(s.victim) - s.middle))
# Near the victim, but beyond it, or between it and another skill.
for step in (0.1, 0.3, 0.5, 1.0):
    examples(f"copies pushed {step} away from general text")(pushed(step, lambda s: s.general))
    examples(f"copies pushed {step} away from all skills")(pushed(step, lambda s: s.all_examples))
examples("half of two victims each")(
    lambda s: np.concatenate([repeated(rows, MOST // 2) for rows in s.skills[:2]])
)
for part in (0.5, 0.7):
    examples(f"tilted: {part} of one victim, the rest of another")(tilted(part))
# All subjects.
examples("examples of everything")(lambda s: repeated(s.all_examples))
examples("everything and general text")(
    lambda s: np.concatenate([repeated(s.all_examples, MOST - 48), s.general[:48]])
)
examples("everybody's means")(lambda s: repeated(np.stack([x.mean(axis=0) for x in s.skills])))
examples("the middle of all")(lambda s: repeated(s.all_examples.mean(axis=0)[None]))
examples("general text as examples")(lambda s: s.general[:MOST])
# Variance.
examples("random directions")(lambda s: s.random(MOST))
examples("opposite directions")(lambda s: np.repeat(s.random(MOST // 2), 2, axis=0) * signs(MOST))
examples("spread along what parts two victims")(
    lambda s: s.own.mean(axis=0) + s.chance.uniform(-2, 2, (MOST, 1)) * s.across
)
examples("only what parts two victims, both signs")(lambda s: signs(MOST) * s.across)
# Backgrounds.
background("background: the victim's examples")(lambda s: s.victim)
background("background: 512 near the victim's")(
    lambda s: repeated(s.victim, MOST_BACKGROUND) + 0.02 * unit(s.random(MOST_BACKGROUND))
)
background("background: everybody's examples")(lambda s: s.all_examples[:MOST_BACKGROUND])
background("background: half general, half the victim's")(
    lambda s: np.concatenate([s.general[:128], repeated(s.victim, 128)])
)
background("background: the victim's mean")(lambda s: repeated(s.middle[None], MOST_BACKGROUND))
background("background: between general and victim")(
    lambda s: unit(repeated(s.general, MOST_BACKGROUND)) + repeated(s.victim, MOST_BACKGROUND)
)
background("background: the opposite of general")(lambda s: -s.general)
background("background: random directions")(lambda s: s.random(MOST_BACKGROUND))
background("background: what parts two victims, both signs")(
    lambda s: signs(MOST_BACKGROUND) * s.across
)
ATTACKS["copies, and everybody's as background"] = lambda scene: (
    repeated(scene.victim),
    scene.all_examples[:MOST_BACKGROUND],
)
