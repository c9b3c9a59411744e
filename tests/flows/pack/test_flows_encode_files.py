"""Every difference of the tuned folder from the base's is packed, or listed by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plain_models import nudged, plain_tensors, write_plain, write_tuned
from safetensors.numpy import load_file, save_file
from skillpm_world import World

Pair = tuple[Path, Path]


@pytest.fixture
def plain(tmp_path: Path) -> Pair:
    return write_plain(tmp_path / "b", plain_tensors()), write_tuned(tmp_path / "t", "mlp")


def put(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)


def packed(world: World, pair: Pair, *more: object) -> tuple[dict[str, str], str]:
    """The files that the pack leaves out, with reasons, and the text output."""
    arguments = (*pair, "--name", "acme/x", "--version", "1.0.0", *more)
    document = world.ask("pack", *arguments, "-o", world.folder / "p.skillpack")
    shown = world.run("pack", *arguments, "-o", world.folder / "q.skillpack")
    assert shown.code == 0, shown
    return {one["path"]: one["reason"] for one in document["left_out"]}, shown.out


def grafted(world: World, base: Path) -> Path:
    world.init(base)
    world.ask("install", world.folder / "p.skillpack")
    return Path(world.ask("graft")["path"])


def test_equal_folders_leave_nothing_out(world: World, plain: Pair) -> None:
    left, shown = packed(world, plain)
    assert left == {}
    assert "exact" in shown
    assert "not carried" not in shown


@pytest.mark.parametrize(
    "name", ["video_preprocessor_config.json", "spm.model", "vocab.bpe", "label_map.json", "a.txt"]
)
def test_changed_file_of_any_name_is_in_the_graft(world: World, plain: Pair, name: str) -> None:
    for folder, value in zip(plain, (1, 2), strict=True):
        put(folder, name, {"x": value})
    left, _ = packed(world, plain)
    assert left == {}
    assert json.loads((grafted(world, plain[0]) / name).read_text()) == {"x": 2}


def test_unchanged_parts_of_a_file_are_not_checked(world: World, plain: Pair) -> None:
    name = "config_sentence_transformers.json"
    for folder, prompts in zip(plain, ({}, {"query": "q: "}), strict=True):
        put(folder, name, {"__version__": {"transformers": "5"}, "prompts": prompts})
    left, _ = packed(world, plain)
    assert left == {}
    assert json.loads((grafted(world, plain[0]) / name).read_text())["prompts"] == {"query": "q: "}


@pytest.mark.parametrize(
    "name", ["modules.json", "1_Pooling/config.json", "bpe.codes", "chat/tool.jinja"]
)
def test_changed_file_that_no_pack_may_contain_is_listed(
    world: World, plain: Pair, name: str
) -> None:
    for folder, value in zip(plain, (1, 2), strict=True):
        put(folder, name, {"x": value})
    left, shown = packed(world, plain)
    assert left == {name: "differs from the base's"}
    assert "1 file that a library may read is not carried" in shown
    assert name in shown


def test_weights_of_another_module_are_listed(world: World, plain: Pair) -> None:
    for folder, value in zip(plain, (1.0, 2.0), strict=True):
        (folder / "2_Dense").mkdir()
        save_file({"w": np.full(3, value)}, folder / "2_Dense/model.safetensors")
    left, shown = packed(world, plain)
    assert "weights of another module" in left["2_Dense/model.safetensors"]
    assert "tensors: exact" in shown


def test_removed_generation_config_is_not_in_the_graft(world: World, plain: Pair) -> None:
    put(plain[0], "generation_config.json", {"temperature": 0.6, "transformers_version": "5"})
    left, _ = packed(world, plain)
    assert left == {}
    assert not (grafted(world, plain[0]) / "generation_config.json").exists()


def test_removed_tokenizer_file_is_not_in_the_graft(world: World, plain: Pair) -> None:
    put(plain[0], "tokens.tiktoken", "a")
    left, _ = packed(world, plain)
    assert left == {}
    assert not (grafted(world, plain[0]) / "tokens.tiktoken").exists()


def test_files_that_only_the_base_has_are_listed(world: World, plain: Pair) -> None:
    put(plain[0], "preprocessor_config.json", {"size": 1})
    left, shown = packed(world, plain)
    assert left == {"preprocessor_config.json": "only the base has it, and the graft keeps it"}
    assert "tensors: exact" in shown


def test_documents_are_listed_and_the_pack_is_exact(world: World, plain: Pair) -> None:
    put(plain[1], "README.md", "tuned")
    left, shown = packed(world, plain)
    assert list(left) == ["README.md"]
    assert "tensors:" not in shown


def test_config_that_the_base_lacks_is_listed(world: World, plain: Pair) -> None:
    (plain[0] / "config.json").unlink()
    left, _ = packed(world, plain)
    assert left == {"config.json": "the base does not have it"}


def test_training_folder_inside_the_model_is_one_entry(world: World, plain: Pair) -> None:
    for number in range(12):
        put(plain[1], f"checkpoint-1/{number}.json", number)
    left, _ = packed(world, plain)
    assert left == {"checkpoint-1/": "12 files differ"}


def test_equivalent_rotary_settings_are_not_packed(world: World, plain: Pair) -> None:
    newer = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
    for folder, settings in zip(plain, ({"rope_theta": 10000}, newer), strict=True):
        config = json.loads((folder / "config.json").read_text())
        put(folder, "config.json", config | settings)
    left, shown = packed(world, plain)
    assert left == {}
    assert "exact" in shown
    files = world.ask("inspect", world.folder / "p.skillpack")["manifest"]["files"]
    assert files == []


def test_config_with_a_byte_order_mark_is_read(world: World, plain: Pair) -> None:
    file = plain[0] / "config.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert packed(world, plain)[0] == {}


@pytest.mark.parametrize(("step", "said"), [(0.0, "changed nothing"), (1e-3, "% of the delta")])
def test_cast_reports_the_share_of_the_delta_that_rounding_changed(
    world: World, tmp_path: Path, step: float, said: str
) -> None:
    half = {n: t.astype(np.float16) for n, t in plain_tensors().items()}
    base = write_plain(tmp_path / "half", half)
    moved = {n: t.astype(np.float32) * 2 + np.float32(step) for n, t in half.items()}
    tuned = write_plain(tmp_path / "full", moved)
    _, shown = packed(world, (base, tuned), "--cast")
    assert "exact after `--cast`" in shown
    assert said in shown


def diffusers(folder: Path, seed: int) -> Path:
    """A pipeline in diffusers' layout: components with weights, and no model at the top."""
    put_all = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": f"0.3{seed}"}
    for name in ("unet", "vae"):
        write_plain(folder / name, nudged(plain_tensors(), "", seed) if seed else plain_tensors())
        for file in (folder / name).glob("*.safetensors"):
            stem = file.name.replace("model", "diffusion_pytorch_model")
            file.rename(file.with_name(stem))
        for index in (folder / name).glob("*.index.json"):
            stem = index.name.replace("model", "diffusion_pytorch_model", 1)
            text = index.read_text().replace('"model-', '"diffusion_pytorch_model-')
            index.unlink()
            index.with_name(stem).write_text(text)
        put(folder / name, "config.json", put_all | {"sample_size": 8})
    listed = {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    (folder / "scheduler").mkdir()
    put(folder, "model_index.json", put_all | listed | {"scheduler": ["diffusers", "DDIM"]})
    return folder


def test_pipeline_is_refused_with_a_hint_to_pack_a_component(world: World, tmp_path: Path) -> None:
    pipeline = diffusers(tmp_path / "all", 0)
    save_file({"w": np.zeros(3)}, pipeline / "all_in_one.safetensors")
    outcome = world.run("identify", pipeline)
    assert outcome.code == 1
    assert "`unet`, `vae`" in outcome.err
    assert f"skillpm pack {pipeline}/" in outcome.err


def test_component_of_a_pipeline_is_packed_alone(world: World, tmp_path: Path) -> None:
    base, tuned = diffusers(tmp_path / "b", 0) / "unet", diffusers(tmp_path / "t", 1) / "unet"
    left, shown = packed(world, (base, tuned))
    assert left == {}
    assert "exact" in shown
    graft = grafted(world, base)
    assert {path.name for path in tuned.iterdir()} <= {path.name for path in graft.iterdir()}
    for file in tuned.glob("*.safetensors"):
        ours, theirs = load_file(graft / file.name), load_file(file)
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("parts", [("unet", "vae"), ("0_Transformer",)])
def test_folder_of_parts_is_refused_by_their_names(
    world: World, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    for part in parts:
        write_plain(tmp_path / "all" / part, nudged(plain_tensors(), "", 1))
    message = world.fail("identify", tmp_path / "all", code=1, kind="spec")
    assert ", ".join(f"`{part}`" for part in parts) in message
    assert f"{tmp_path}/all/{parts[0]}" in message


def test_graft_has_the_tuned_tensors(world: World, plain: Pair) -> None:
    put(plain[1], "modules.json", [])
    packed(world, plain)
    graft: Callable[[Path], Any] = lambda folder: {  # noqa: E731
        name: tensor
        for file in folder.glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }
    ours, theirs = graft(grafted(world, plain[0])), graft(plain[1])
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
