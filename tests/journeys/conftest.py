"""A project that several journeys start from."""

from typing import TYPE_CHECKING

import pytest
from skillpm_world import World

if TYPE_CHECKING:
    from tiny_models import Pair


@pytest.fixture
def installed(world: World, math: "Pair") -> World:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    return world
