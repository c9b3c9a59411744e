"""A project that most tests of the command line start from, and snapshots of its output."""

from typing import TYPE_CHECKING

import pytest
from output_snapshots import Snapshots
from skillpm_world import World

if TYPE_CHECKING:
    from tiny_models import Models, Pair


@pytest.fixture
def snapshots(request: pytest.FixtureRequest) -> Snapshots:
    return Snapshots(update=bool(request.config.getoption("--update-snapshots")))


@pytest.fixture
def installed(world: World, math: "Pair") -> World:
    world.init(math[0])
    world.ask("install", world.pack(math, "acme/math", "1.0.0"))
    return world


@pytest.fixture
def market(world: World, math: "Pair", models: "Models") -> World:
    """`acme/math` is installed; `acme/sql` and `acme/tone` are published but not installed."""
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    world.publish(models.tuned("attn", seed=2), "acme/sql", "1.0.0")
    world.publish(models.tuned("", seed=3), "acme/tone", "1.0.0")
    return world
