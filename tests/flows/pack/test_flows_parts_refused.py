"""Parts of a model that cannot be packed are refused by name, with a remedy."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from parts_worlds import edit
from safetensors.torch import save_file
from skillpm_world import World
from tiny_embedders import tune


@pytest.mark.parametrize("kind", ["pylate.models.Dense", "custom.Module", "os.path.Dense"])
def test_module_of_another_package_is_refused(
    world: World, pair: tuple[Path, Path], kind: str
) -> None:
    edit(pair[1] / "modules.json", lambda listed: listed[2].update(type=kind))
    message = world.fail(
        *("pack", *pair, "--name", "acme/x", "--version", "1.0.0", "-o", world.folder / "p"),
        code=1,
        kind="spec",
    )
    assert kind in message
    assert "modules.json" in message


def test_activation_that_is_not_a_torch_class_is_refused(
    world: World, pair: tuple[Path, Path]
) -> None:
    edit(pair[1] / "2_Dense/config.json", lambda c: c.update(activation_function="torch.os.abort"))
    message = world.fail(
        *("pack", *pair, "--name", "acme/x", "--version", "1.0.0", "-o", world.folder / "p"),
        code=1,
        kind="spec",
    )
    assert "2_Dense/config.json" in message


def test_nested_part_is_refused_by_name(world: World, pair: tuple[Path, Path]) -> None:
    for number, folder in enumerate(pair):
        (folder / "2_Dense/query_0_Dense").mkdir()
        weights = {"w": torch.full((2,), float(number))}
        save_file(weights, folder / "2_Dense/query_0_Dense/model.safetensors")
    message = world.fail(
        *("pack", *pair, "--name", "acme/x", "--version", "1.0.0", "-o", world.folder / "p"),
        code=1,
        kind="spec",
    )
    assert "2_Dense/query_0_Dense/model.safetensors" in message


def test_fine_tune_of_parts_only_is_refused_by_their_names(
    world: World, made: Path, pair: tuple[Path, Path]
) -> None:
    shutil.rmtree(pair[1])
    tune(made / "base", pair[1], only="2.")
    message = world.fail(
        *("pack", *pair, "--name", "acme/x", "--version", "1.0.0", "-o", world.folder / "p"),
        code=1,
        kind="graft",
    )
    assert "2_Dense/model.safetensors" in message


def test_old_layout_is_refused_with_two_remedies(world: World, made: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(made / "bert", old / "0_Transformer")
    listed = [{"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]  # fmt: skip  # noqa: E501
    (old / "modules.json").write_text(json.dumps(listed))
    outcome = world.run("identify", old)
    assert outcome.code == 1
    assert "`0_Transformer`" in outcome.err
    assert f"skillpm pack {old}/0_Transformer" in outcome.err
    assert "save_pretrained" in outcome.err
