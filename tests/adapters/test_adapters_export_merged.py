"""Export of plain models, and what `export` refuses."""

from pathlib import Path

from exported_skills import installed, says
from skillpm_world import World, root_of, snapshot
from tiny_adapters import CASES, load, make
from tiny_models import Models, rewrite


def test_merged_export_is_a_plain_model(world: World, models: Models, tmp_path: Path) -> None:
    base, tuned = models.pair("grown")
    installed(world, (base, tuned))
    before = snapshot(base)
    done = world.ask("export", "acme/skill", "--format", "merged", tmp_path / "out")
    assert done["root"] == root_of(tmp_path / "out") == root_of(tuned)
    assert (done["rank"], done["residual"], done["left_out"]) == (None, None, [])
    assert not (tmp_path / "out" / ".skillpm-graft.json").exists()
    assert says(load(tmp_path / "out")).equal(says(load(tuned)))
    assert snapshot(base) == before
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_pack_file_or_release_is_exported_without_installation(
    world: World, tmp_path: Path
) -> None:
    made = make(tmp_path / "made", CASES["plain"])
    path = world.pack(made.pair, "acme/skill", "1.0.0")
    peft = ("--format", "peft", "--base", made.base)
    world.ask("export", path, *peft, tmp_path / "file")
    world.ask("publish", path)
    world.ask("export", "acme/skill@1.0.0", *peft, tmp_path / "release")
    assert snapshot(tmp_path / "file") == snapshot(tmp_path / "release")
    assert "--base ./base" in world.fail(
        "export", path, "--format", "peft", tmp_path / "x", code=1, kind="not_found"
    )


def test_export_does_not_overwrite_a_full_folder_or_the_base(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "made", CASES["plain"])
    installed(world, made.pair)
    export = ("export", "acme/skill", "--format", "merged")
    assert "is not overwritten" in world.fail(*export, made.adapter, code=1, kind="state")
    world.fail(*export, made.base / "inside", code=2, kind="usage")
    (tmp_path / "empty").mkdir()
    world.ask(*export, tmp_path / "empty")


def test_export_on_another_base_is_refused(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "made", CASES["plain"])
    path = world.pack(made.pair, "acme/skill", "1.0.0")
    other = make(tmp_path / "other", CASES["plain"]).base
    rewrite(other, lambda tensors: tensors["model.layers.0.self_attn.q_proj.weight"].add_(1))
    export = ("export", path, "--format", "peft", "--base", other, tmp_path / "out")
    assert "was built for the base" in world.fail(*export, code=3, kind="integrity")
