"""Packs with different architecture facts are never grafted together."""

from pathlib import Path
from typing import Any

import pytest
from changed_packs import with_facts
from skillpm_world import World
from tiny_models import Models

from skillpm.spec import agreement

OLDER = "transformers 5.0.0"
TIED = {"lm_head.weight": "model.embed_tokens.weight"}


@pytest.fixture
def pair(world: World, models: Models) -> tuple[Path, Path]:
    """Two packs of one base; the base's project is the current folder."""
    first, second = models.tuned("mlp"), models.tuned("attn", seed=2)
    world.init(first[0])
    return world.pack(first, "acme/first", "1.0.0"), world.pack(second, "acme/second", "1.0.0")


def changed(world: World, pack: Path, **facts: Any) -> Path:
    return with_facts(pack, world.folder / "changed.skillpack", library=OLDER, **facts)


@pytest.mark.parametrize("facts", [{"tied": TIED}, {"names": {"model.norm.weight": "norm.weight"}}])
def test_install_and_lock_refuse_conflicting_architecture_facts(
    world: World, pair: tuple[Path, Path], facts: dict[str, Any]
) -> None:
    other = changed(world, pair[1], **facts)
    before = world.file.read_text()
    said = world.fail("install", pair[0], other, code=4, kind="resolution")
    ((field, stated),) = facts.items()
    assert f"`architecture_facts.{field}.{min(stated)}`" in said
    assert OLDER in said
    assert "skillpm pack ./base ./tuned" in said
    assert world.file.read_text() == before
    world.ask("install", pair[0])
    world.ask("publish", other)
    world.fail("install", "acme/second", code=4, kind="resolution")
    world.file.write_text(world.file.read_text() + '"acme/second" = "*"\n')
    assert "architecture_facts" in world.fail("lock", code=4, kind="resolution")
    assert world.installed() == {"acme/first": "1.0.0"}


def test_install_accepts_equal_facts_of_another_library_version(
    world: World, pair: tuple[Path, Path]
) -> None:
    world.ask("install", pair[0], changed(world, pair[1]))
    assert set(world.installed()) == {"acme/first", "acme/second"}
    world.graft_root()


def test_routed_set_installs_conflicting_facts_and_grafts_one_skill(
    world: World, pair: tuple[Path, Path]
) -> None:
    world.file.write_text(world.file.read_text() + '\n[graft]\nmode = "routed"\n')
    world.ask("install", pair[0], changed(world, pair[1], tied=TIED))
    world.graft_root("--only", "acme/second")
    said = world.fail("graft", "--only", "acme/second", "--only", "acme/first", code=4,
                      kind="resolution")  # fmt: skip
    assert "architecture_facts.tied" in said


def test_graft_refuses_a_lock_with_conflicting_facts(
    world: World, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(agreement, "fact_differences", lambda _manifests: iter(()))
        world.ask("install", pair[0], changed(world, pair[1], tied=TIED))
    said = world.fail("graft", code=4, kind="resolution")
    assert "architecture_facts.tied" in said
    assert not (world.project / "graft").exists()
    assert set(world.installed()) == {"acme/first", "acme/second"}


def test_pack_over_refuses_a_pack_with_other_facts(
    world: World, models: Models, pair: tuple[Path, Path]
) -> None:
    lower = changed(world, pair[0], tied=TIED)
    target = world.folder / "over.skillpack"
    asked = ("--name", "acme/over", "--version", "1.0.0", "-o", target, "--over", lower)
    said = world.fail("pack", *models.tuned("attn", seed=2), *asked, code=4, kind="resolution")
    assert "`acme/first`" in said
    assert not target.exists()
