"""A project that most tests of the command line start from, and snapshots of its output."""

from typing import TYPE_CHECKING

import pytest
from output_snapshots import Snapshots
from skillpm_world import World

if TYPE_CHECKING:
    from tiny_models import Pair


@pytest.fixture
def snapshots(request: pytest.FixtureRequest) -> Snapshots:
    return Snapshots(update=bool(request.config.getoption("--update-snapshots")))


@pytest.fixture
def installed(world: World, math: "Pair") -> World:
    world.init(math[0])
    world.ask("install", world.pack(math, "acme/math", "1.0.0"))
    return world
