"""A sentence-transformers model is packed with all its parts, or refused naming the part."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from parts_worlds import ALL, check_same, grafted, packed
from safetensors.torch import load_file, save_file
from skillpm_world import World
from tiny_embedders import embedder, embeddings, load, tune


def test_tuned_model_is_packed_with_all_its_parts(world: World, pair: tuple[Path, Path]) -> None:
    assert packed(world, pair)["left_out"] == []
    assert not np.array_equal(embeddings(pair[0]), embeddings(pair[1]))
    graft = grafted(world, pair[0])
    check_same(graft, pair[1])
    assert load(graft).max_seq_length == 7
    world.ask("verify", world.folder / "x.skillpack", "--base", pair[0])
    assert {one["level"] for one in world.ask("audit")["findings"]} == {"low"}
    again = world.ask("graft")
    assert again["unchanged"]


def test_merged_export_is_the_tuned_model(world: World, pair: tuple[Path, Path]) -> None:
    packed(world, pair)
    grafted(world, pair[0])
    target = world.folder / "merged"
    world.ask("export", "acme/x", target, "--format", "merged")
    check_same(target, pair[1])


def test_unchanged_part_comes_from_the_base(
    world: World, made: Path, pair: tuple[Path, Path]
) -> None:
    shutil.rmtree(pair[1])
    tune(made / "base", pair[1], only="0.")
    assert packed(world, pair)["left_out"] == []
    files = world.ask("inspect", world.folder / "x.skillpack")["manifest"]["files"]
    assert not [file for file in files if "/" in file["path"]]
    check_same(grafted(world, pair[0]), pair[1])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("Pooling",), ALL),
        (ALL, ("Pooling",)),
        (("Pooling", "Dense"), ALL),
        (("Pooling", "Dense"), ("Pooling",)),
    ],
)
def test_parts_are_added_and_removed(
    world: World, made: Path, tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    base = embedder(tmp_path / "b", made / "bert", *before)
    tuned = tune(embedder(tmp_path / "t0", made / "bert", *after), tmp_path / "t")
    assert packed(world, (base, tuned))["left_out"] == []
    graft = grafted(world, base)
    check_same(graft, tuned)
    theirs = {path.name for path in tuned.iterdir() if path.is_dir()}
    assert {path.name for path in graft.iterdir() if path.is_dir()} == theirs


def test_plain_transformers_base_gets_all_parts(
    world: World, made: Path, pair: tuple[Path, Path]
) -> None:
    packed(world, (made / "bert", pair[1]))
    check_same(grafted(world, made / "bert"), pair[1])


def pickle_parts(folder: Path) -> None:
    for file in folder.glob("*_*/model.safetensors"):
        torch.save(load_file(file), file.with_name("pytorch_model.bin"))
        file.unlink()


def test_pickled_part_that_differs_is_refused_with_a_hint_to_convert_it(
    world: World, pair: tuple[Path, Path]
) -> None:
    pickle_parts(pair[1])
    outcome = world.run(
        "pack", *pair, "--name", "acme/x", "--version", "1.0.0", "-o", world.folder / "x.skillpack"
    )
    assert outcome.code == 1
    assert "2_Dense/pytorch_model.bin" in outcome.err
    assert "pickle" in outcome.err
    assert "save_pretrained" in outcome.err
    assert not (world.folder / "x.skillpack").exists()


def test_unchanged_pickled_part_is_copied_from_the_base(
    world: World, made: Path, pair: tuple[Path, Path]
) -> None:
    shutil.rmtree(pair[1])
    tune(made / "base", pair[1], only="0.")
    for folder in pair:
        pickle_parts(folder)
    for file in pair[0].glob("*_*/pytorch_model.bin"):
        shutil.copy(file, pair[1] / file.parent.name)
    assert packed(world, pair)["left_out"] == []
    check_same(grafted(world, pair[0]), pair[1])


def test_safetensors_replace_the_pickle_of_the_base(world: World, pair: tuple[Path, Path]) -> None:
    pickle_parts(pair[0])
    assert packed(world, pair)["left_out"] == []
    graft = grafted(world, pair[0])
    check_same(graft, pair[1])
    assert not list(graft.rglob("pytorch_model.bin"))


def test_two_skills_that_change_one_part_differently_conflict(
    world: World, made: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    packed(world, pair)
    other = tune(pair[1], tmp_path / "other")
    packed(world, (pair[0], other), "y")
    world.init(pair[0])
    world.ask("install", world.folder / "x.skillpack")
    message = world.fail("install", world.folder / "y.skillpack", code=4, kind="resolution")
    assert "2_Dense/model.safetensors" in message or "1_Pooling" in message


def test_base_with_another_part_is_reported(
    world: World, made: Path, pair: tuple[Path, Path]
) -> None:
    shutil.rmtree(pair[1])
    tune(made / "base", pair[1], only="0.")
    packed(world, pair)
    file = pair[0] / "2_Dense/model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    pack = world.folder / "x.skillpack"
    message = world.fail("verify", pack, "--base", pair[0], code=3, kind="integrity")
    assert "2_Dense/model.safetensors" in message
    world.ask("verify", pack, "--base", pair[0], "--accept-footprint")
    world.init(pair[0])
    assert "2_Dense/model.safetensors" in world.run("install", pack).err
    assert "2_Dense/model.safetensors" in world.run("graft").err
    found = [one for one in world.ask("audit")["findings"] if one["level"] != "low"]
    assert [(one["code"], one["level"]) for one in found] == [("base-part", "medium")]


def test_base_with_reformatted_parts_is_accepted(world: World, pair: tuple[Path, Path]) -> None:
    packed(world, pair)
    file = pair[0] / "modules.json"
    file.write_text(json.dumps(json.loads(file.read_text())))
    world.ask("verify", world.folder / "x.skillpack", "--base", pair[0])


@pytest.mark.parametrize(
    "name", ["onnx/model.onnx", "onnx/model.onnx_data", "openvino/openvino_model.xml"]
)
def test_weights_in_another_format_are_listed_and_not_copied(
    world: World, pair: tuple[Path, Path], name: str
) -> None:
    for number, folder in enumerate(pair):
        (folder / name).parent.mkdir()
        (folder / name).write_text(str(number))
    document = packed(world, pair)
    assert [one["path"] for one in document["left_out"]] == [name]
    shown = world.run(
        "pack", *pair, "--name", "acme/x", "--version", "1.0.0", "-o", world.folder / "y.skillpack"
    )
    assert "tensors: exact; 1 file that a library may read is not carried" in shown.out
    assert not (grafted(world, pair[0]) / name).exists()


@pytest.mark.parametrize("kinds", [("CNN", "Wide", "Normalize"), ("Pooling", "SparseAutoEncoder")])
def test_other_modules_are_packed(
    world: World, made: Path, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    base = embedder(tmp_path / "b", made / "bert", *kinds)
    tuned = tune(base, tmp_path / "t")
    assert packed(world, (base, tuned))["left_out"] == []
    check_same(grafted(world, base), tuned)


def test_identify_names_the_parts(world: World, pair: tuple[Path, Path]) -> None:
    found = world.ask("identify", pair[1], "--against", pair[0])
    assert found["parts"] == ["1_Pooling", "2_Dense", "3_LayerNorm"]
    assert "2_Dense/model.safetensors" in found["differing_files"]
    assert "1_Pooling, 2_Dense" in world.run("identify", pair[1]).out


def test_layered_skill_changes_the_part_of_the_lower_skill(
    world: World, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    packed(world, pair)
    further = tune(pair[1], tmp_path / "further")
    below = world.folder / "x.skillpack"
    named = ("--name", "acme/y", "--version", "1.0.0", "-o", world.folder / "y.skillpack")
    world.ask("pack", pair[0], further, *named, "--over", below)
    check_same(grafted(world, pair[0], "x", "y"), further)
