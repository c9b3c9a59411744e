"""Projects and registries that several journeys start from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from served_registry import FaultyServer, serving
from skillpm_world import World
from static_tree import StaticTree

if TYPE_CHECKING:
    from tiny_models import Pair

PARTS = ("mlp", "self_attn", "lm_head")


@pytest.fixture
def installed(world: World, math: "Pair") -> World:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    return world


@pytest.fixture
def tree(world: World) -> StaticTree:
    """The files of a registry with three skills, and a project; `acme/c` requires `acme/a`."""
    base = write_plain(world.folder / "base", plain_tensors())
    world.init(base)
    tree = StaticTree(world.folder / "tree")
    for name, part in zip("abc", PARTS, strict=True):
        tuned = write_tuned(world.folder / f"tuned-{name}", part)
        more = ("--requires", "acme/a ^1") if name == "c" else ()
        tree.add(world.pack((base, tuned), f"acme/{name}", "1.0.0", *more))
    return tree


@pytest.fixture
def server(tree: StaticTree) -> Iterator[FaultyServer]:
    with serving(tree.folder) as server:
        yield server
