"""Installs over HTTP that are killed or interrupted."""

import signal
import time

import numpy as np
import pytest
from plain_models import nudged, plain_tensors, write_plain
from served_registry import FaultyServer, Stall, serving
from skillpm_world import World, snapshot, start_process
from static_tree import StaticTree


@pytest.fixture
def large(world: World) -> StaticTree:
    """The files of a registry whose skill has a payload of 4 MB in one blob, and its project."""
    tensors = plain_tensors()
    chance = np.random.default_rng(1)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = chance.standard_normal((1 << 16, 16)).astype(np.float32)
    tree = StaticTree(world.folder / "large")
    base = write_plain(world.folder / "wide", tensors)
    world.init(base)
    tuned = write_plain(world.folder / "tuned-wide", nudged(tensors, "embed", 2))
    tree.add(world.pack((base, tuned), "acme/large", "1.0.0"))
    return tree


@pytest.mark.parametrize("place", ["/config", "/index/", "/blobs/"])
def test_an_install_that_is_killed_while_it_reads_changes_nothing(
    place: str, world: World, server: FaultyServer
) -> None:
    before = snapshot(world.project)
    stall = Stall(20)
    server.fault(place, stall)
    with start_process("install", "acme/c", "--registry", server.url) as process:
        assert stall.reached.wait(60)
        process.send_signal(signal.SIGKILL)
    stall.over.set()
    after = snapshot(world.project)
    after.pop(".skillpm/holder.json")  # names the killed process
    assert after == before
    world.ask("install", "acme/c", "--registry", server.url)
    assert world.installed().keys() == {"acme/a", "acme/c"}


def test_a_killed_download_is_continued_where_it_stopped(world: World, large: StaticTree) -> None:
    (blob, *_) = sorted((large.folder / "blobs").rglob("*"), key=lambda path: -path.stat().st_size)
    size, half = blob.stat().st_size, 2 << 20
    assert size > half
    with serving(large.folder) as server:
        stall = Stall(half)
        server.fault(blob.name, stall)
        with start_process("install", "acme/large", "--registry", server.url) as process:
            part = world.home / "store" / "tmp" / f"part-{blob.name}"
            assert stall.reached.wait(20)
            while not part.exists() or part.stat().st_size < half:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        stall.over.set()
        world.ask("install", "acme/large", "--registry", server.url)
        (again,) = [
            seen for seen in server.requests if blob.name in seen.path and seen.status == 206
        ]
        assert again.headers["range"] == f"bytes={half}-"
        assert again.sent == size - half
        assert not part.exists()


def test_an_interrupted_download_ends_soon(world: World, large: StaticTree) -> None:
    (blob, *_) = sorted((large.folder / "blobs").rglob("*"), key=lambda path: -path.stat().st_size)
    with serving(large.folder) as server:
        stall = Stall(1 << 20)
        server.fault(blob.name, stall)
        with start_process("install", "acme/large", "--registry", server.url) as process:
            assert stall.reached.wait(20)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        stall.over.set()
        assert process.returncode == 130, err
        assert time.monotonic() - began < 15
