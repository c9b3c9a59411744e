"""What `skillpm verify` reports with and without a base."""

from pathlib import Path

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from skillpm_world import World

from skillpm.archive.reader import PackFile
from skillpm.delta.tensors.ports import ReadAt
from skillpm.spec.digests import Digest


@pytest.fixture
def made(world: World, tmp_path: Path) -> Path:
    base = write_plain(tmp_path / "base", plain_tensors())
    world.init(base)
    pack = world.pack((base, write_tuned(tmp_path / "tuned", "mlp")), "acme/x", "1.0.0")
    world.ask("install", pack)
    return pack


def test_verify_without_a_base_reports_that_nothing_was_recomputed(
    world: World, made: Path, tmp_path: Path
) -> None:
    alone = world.ask("verify", made)
    assert (alone["verified"], alone["recomputed"]) == (False, False)
    assert alone["checked"] == ["digests", "documents"]
    assert "nothing was recomputed" in world.run("verify", made).out
    whole = world.ask("verify", made, "--base", tmp_path / "base")
    assert (whole["verified"], whole["recomputed"]) == (True, True)
    assert whole["checked"] == ["digests", "documents", "base", "payload"]


@pytest.mark.parametrize("with_base", [False, True])
def test_verify_opens_each_layer_once(
    world: World, made: Path, monkeypatch: pytest.MonkeyPatch, *, with_base: bool
) -> None:
    opened: list[Digest] = []
    open_layer = PackFile.open_layer

    def counted(pack: PackFile, digest: Digest) -> ReadAt:
        opened.append(digest)
        return open_layer(pack, digest)

    monkeypatch.setattr(PackFile, "open_layer", counted)
    base = ("--base", world.folder / "base") if with_base else ()
    assert world.ask("verify", made, *base)["verified"] == with_base
    assert opened
    assert len(opened) == len(set(opened))
