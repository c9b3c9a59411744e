"""An untrusted graft folder: files that it lists or links to are not read (law 5)."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from skillpm_world import World, root_of
from tiny_models import Pair


@pytest.fixture
def grafted(world: World, math: Pair) -> World:
    world.init(math[0])
    world.ask("install", world.pack(math, "acme/math", "1.0.0"))
    world.ask("graft")
    (world.folder / "outside").mkdir()
    (world.folder / "outside" / "secret").write_text("of somebody else")
    return world


def _link(graft: Path) -> None:
    (graft / "notes").symlink_to("../../outside")


def _shard(graft: Path) -> None:
    shard = graft / "model.safetensors"
    shard.rename(graft.parent.parent / "outside" / "shard")
    shard.symlink_to("../../outside/shard")


def _pipe(graft: Path) -> None:
    os.mkfifo(graft / "pipe")


def _deep(graft: Path) -> None:
    (graft / "/".join("d" * 40)).mkdir(parents=True)


@pytest.mark.parametrize("put", [_link, _shard, _pipe, _deep])
def test_graft_with_other_entries_than_files_is_reported_and_rewritten(
    grafted: World, put: Callable[[Path], None]
) -> None:
    graft = grafted.project / "graft"
    put(graft)
    found = grafted.ask("audit", code=3)["findings"]
    assert any("expected a regular file" in one["message"] for one in found)
    outcome = grafted.run("graft")
    assert outcome.code == 0
    assert "the existing graft cannot be reused and is written again" in outcome.err
    assert not any(path.is_symlink() for path in graft.rglob("*"))
    assert root_of(graft) == grafted.graft_root()
    assert (grafted.folder / "outside" / "secret").exists()


@pytest.mark.parametrize("name", ["../../outside/secret", "sub/secret", "gone", "", "x" * 300])
def test_files_listed_by_a_graft_are_looked_up_only_inside_it(grafted: World, name: str) -> None:
    record = grafted.project / "graft" / ".skillpm-graft.json"
    plain = json.loads(record.read_text())
    plain["files"][name] = "sha256:" + "0" * 64
    record.write_text(json.dumps(plain))
    found = grafted.ask("audit", code=3)["findings"]
    assert any(f"lists `{name}`, which" in one["message"] for one in found)
    assert grafted.ask("graft")["unchanged"] is False


def test_large_sparse_file_is_not_hashed(grafted: World) -> None:
    with (grafted.project / "graft" / "model.safetensors").open("r+b") as shard:
        shard.truncate(1 << 40)
    found = grafted.ask("audit", code=3)["findings"]
    assert any("is a sparse file of" in one["message"] for one in found)
    assert grafted.ask("graft")["unchanged"] is False
