"""Packs with valid digests and false statements about the base, from `verify` to the graft."""

import shutil
from pathlib import Path

import pytest
import skillpm_world
from attack_worlds import BUFFER, EMBED, NORM, QUERY, World, refuse

from skillpm.errors import IntegrityError, SpecError

ZERO = "sha256:" + "0" * 64


@pytest.mark.parametrize("tensor", [EMBED, QUERY, NORM, BUFFER])
def test_false_leaf_of_the_base_is_refused_by_verify_install_and_graft(
    tensor: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge = world.forge()
    forge.entry(tensor)["leaf"] = ZERO
    problem = refuse(world, forge, tmp_path)
    assert isinstance(problem, IntegrityError)
    assert tensor in problem.message

    monkeypatch.setenv("SKILLPM_HOME", str(tmp_path / "home"))
    project = skillpm_world.World(tmp_path)
    project.project.mkdir()
    monkeypatch.chdir(project.project)
    base = Path(shutil.copytree(world.base, tmp_path / "base"))
    project.init(base)
    assert tensor in project.fail("install", tmp_path / "lie.skillpack", code=3, kind="integrity")
    assert project.installed() == {}

    base.rename(tmp_path / "away")
    installed = project.ask("install", tmp_path / "lie.skillpack")
    assert "1 pack not verified" in installed["notes"][0]
    assert not project.ask("list")["skills"][0]["verified"]
    (tmp_path / "away").rename(base)
    assert tensor in project.fail("graft", code=3, kind="integrity")
    assert not (project.project / "graft").exists()


def test_resized_tensor_that_keeps_its_shape_is_refused(world: World, tmp_path: Path) -> None:
    for tensor in (EMBED, QUERY, NORM):
        forge = world.forge()
        forge.entry(tensor)["change"] = "resized"
        problem = refuse(world, forge, tmp_path)
        assert isinstance(problem, IntegrityError)
        assert tensor in problem.message


def test_problems_of_all_kinds_are_reported_at_once(world: World, tmp_path: Path) -> None:
    forge = world.forge()
    forge.manifest["skill"] = "../../etc/passwd"
    forge.entry(EMBED)["dtype"] = "F7"
    forge.manifest["files"][0]["path"] = "../config.json"
    position = forge.manifest["footprint"].index(forge.entry(EMBED))
    problem = refuse(world, forge, tmp_path)
    assert isinstance(problem, SpecError)
    for path in ("skill:", f"footprint[{position}].dtype:", "files[0].path:"):
        assert path in problem.message


def test_pack_layered_on_itself_is_refused(world: World, tmp_path: Path) -> None:
    forge = world.forge()
    skill = forge.manifest["skill"]
    forge.manifest["over"] = [{"skill": skill, "version": "1.0.0", "digest": ZERO}]
    forge.manifest["requires"] = [f"{skill} =1.0.0"]
    problem = refuse(world, forge, tmp_path)
    assert isinstance(problem, SpecError)
    assert "over[0]" in problem.message
