"""Law 4 for two concurrent commands, one or both killed; and regressions found by such races."""

import random

import pytest
from crash_case import Killer, Scene
from crash_race import RIVALS, Race
from crash_scenes import NAMES

EVERY = 1
"""Races of a command in the fast run."""


@pytest.mark.parametrize("name", NAMES)
def test_race_has_the_result_of_some_order_of_the_two_commands(
    killer: Killer, scenes: dict[str, Scene], name: str
) -> None:
    chance = random.Random(name)
    rival = chance.choice([*RIVALS, "same"])
    race = Race.of(killer, scenes[name], rival)
    for _ in range(EVERY):
        race.run(race.draw(chance))


@pytest.mark.slow
@pytest.mark.parametrize("rival", [*RIVALS, "same"])
@pytest.mark.parametrize("name", NAMES)
def test_races_of_every_pair_of_commands_have_the_result_of_some_order(
    killer: Killer, scenes: dict[str, Scene], name: str, rival: str
) -> None:
    chance = random.Random(f"{name} {rival}")
    race = Race.of(killer, scenes[name], rival)
    for _ in range(10):
        race.run(race.draw(chance))
