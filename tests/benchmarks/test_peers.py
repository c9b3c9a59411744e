from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peer_worlds import distance, make_task
from safetensors.torch import load_file

from benchmarks.peers import METHODS, Task
from benchmarks.peers.binary import train_scales
from benchmarks.peers.calibrate import batches, load_model, walk
from benchmarks.peers.files import read, read_skillpack, write
from benchmarks.peers.fit import fit, fit_count
from benchmarks.peers.gptq import left_side, right_side
from benchmarks.peers.recipe import GRAFTLLM, scheme_of
from benchmarks.peers.skillpack import write_skillpack
from skillpm.delta.codecs.shared.quantise import dequantise, quantise
from skillpm.delta.codecs.svd import Columns

COLUMNS = [Columns(4, 3), Columns(2, 13)]
RECENT = ("adamix", "impart", "delta-dct", "nnc", *(name for name in METHODS if "ultra" in name))
BUDGETED = ("lora", "magnitude", "magnitude-coded", "dare", "dare-coded", *RECENT)
BUDGETS = dict.fromkeys(BUDGETED, 20_000)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return make_task(tmp_path_factory.mktemp("peers"))


def inputs_and_rows() -> tuple[np.ndarray, np.ndarray]:
    """A correlated H [64, 64], and 16 rows to quantise."""
    draw = np.random.default_rng(0)
    states = draw.standard_normal((500, 64)) @ draw.standard_normal((64, 64))
    return states.T @ states / 500, draw.standard_normal((16, 64))


def over(error: np.ndarray, inputs: np.ndarray) -> float:
    return float(np.trace(error @ inputs @ error.T))


def test_gptq_of_rows_has_less_error_over_the_inputs_than_rounding() -> None:
    inputs, rows = inputs_and_rows()
    found = right_side(rows, COLUMNS, inputs, group=32, damping=0.01)
    near = np.concatenate([dequantise(block, 32) for block in found])
    plain = np.concatenate(
        [dequantise(quantise(rows[:3], 4, 32), 32), dequantise(quantise(rows[3:], 2, 32), 32)]
    )
    assert over(rows - near, inputs) < 0.7 * over(rows - plain, inputs)


def test_gptq_of_columns_has_less_error_over_the_inputs_than_rounding() -> None:
    inputs, rows = inputs_and_rows()
    matrix, inner = rows.T, inputs[:16, :16]
    found = left_side(matrix, COLUMNS, inner, group=32, damping=0.01)
    near = np.concatenate([dequantise(block, 32) for block in found]).T
    plain = np.concatenate(
        [dequantise(quantise(rows[:3], 4, 32), 32), dequantise(quantise(rows[3:], 2, 32), 32)]
    ).T
    assert over(matrix - near, inner) < 0.9 * over(matrix - plain, inner)


def test_statistics_come_from_the_partly_compressed_model(task: Task) -> None:
    model = load_model(task, task.tuned)
    weights = dict(model.named_parameters())
    seen: dict[str, np.ndarray] = {}
    for names, found in walk(model, batches(task)):
        for name in names:
            seen[name] = found
            with torch.no_grad():
                weights[name].mul_(0.9)
    expected: list[torch.Tensor] = []
    down = model.get_submodule("model.layers.1.mlp.down_proj")
    down.register_forward_pre_hook(lambda _module, args: expected.append(args[0]))
    with torch.no_grad():
        for batch in batches(task):
            model(input_ids=batch.ids)
    states = torch.cat(expected).flatten(0, 1).double()
    assert len(seen) == 14
    assert np.allclose(seen["model.layers.1.mlp.down_proj.weight"],
                       (states.T @ states / len(states)).numpy(), rtol=1e-3, atol=1e-6)  # fmt: skip


def test_linear_layers_that_share_an_input_are_one_stage(task: Task) -> None:
    stages = [names for names, _ in walk(load_model(task, task.tuned), batches(task))]
    kinds = [[name.split(".")[-2][0] for name in names] for names in stages[:4]]
    assert kinds == [["q", "k", "v"], ["o"], ["g", "u"], ["d"]]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_returns_the_whole_model_in_its_storage_dtype(method: str, task: Task) -> None:
    if method == "nnc":
        pytest.importorskip("nncodec.extensions", reason="NNCodec is not installed")
    found = METHODS[method](task, BUDGETS.get(method))
    tuned = load_file(task.tuned / "model.safetensors")
    assert found.state.keys() == tuned.keys()
    assert all(found.state[n].dtype == one.dtype for n, one in tuned.items())
    assert all(torch.equal(one, tuned[n]) for n, one in found.state.items() if "norm" in n)
    assert any(found.bytes == path.stat().st_size for path in task.folder.glob("*.safetensors"))
    assert found.bytes <= BUDGETS.get(method, 1 << 20)
    if not method.startswith(("dare", "ultra")):  # they add error to values, not to their mean
        before = load_file(task.base / "model.safetensors")
        assert distance(found.state, task.tuned) < distance(before, task.tuned)


def test_recipe_scales_to_a_budget(task: Task) -> None:
    own = METHODS["recipe"](task, None).bytes
    half = METHODS["recipe"](task, own * 3 // 4)
    assert 0.97 < half.bytes / (own * 3 / 4) < 1.01
    assert half.settings["scale"] < 1


def test_budget_is_refused_or_required_by_method(task: Task) -> None:
    with pytest.raises(ValueError, match="no budget"):
        METHODS["bitdelta"](task, 10_000)
    with pytest.raises(ValueError, match="give it a budget"):
        METHODS["lora"](task, None)


def test_skillpack_of_the_recipe_decodes_to_the_same_weights(task: Task, tmp_path: Path) -> None:
    peer = scheme_of(task, GRAFTLLM)
    write(task, peer, tmp_path / "lean.safetensors")
    size = write_skillpack(task, peer, tmp_path / "recipe.skillpack")
    assert size == (tmp_path / "recipe.skillpack").stat().st_size
    lean = read(tmp_path / "lean.safetensors", task.base)
    full = read_skillpack(tmp_path / "recipe.skillpack", task.base)
    assert all(torch.equal(lean[name], full[name]) for name in full)


def test_distilled_scales_differ_from_the_row_means(task: Task) -> None:
    before = np.abs(task.deltas["model.layers.0.mlp.up_proj.weight"].reshape(64, 32)).mean(axis=1)
    after = train_scales(task, 0.1)["model.layers.0.mlp.up_proj.weight"]
    assert not np.allclose(before, after)
    assert (after > 0).all()


def test_task_refuses_added_tensors(task: Task, tmp_path: Path) -> None:
    from tiny_models import copy_model, rewrite

    tuned = copy_model(task.tuned, tmp_path / "more")
    rewrite(tuned, lambda tensors: tensors.update({"extra": torch.zeros(2)}))
    with pytest.raises(ValueError, match="extra is added"):
        _ = replace(task, tuned=tuned).pairs


def test_fit_finds_the_largest_size_within_the_budget() -> None:
    assert 0.99 * 500 < 1000 * fit(lambda x: 1000 * x, 500, low=0.01, high=8.0) <= 500
    assert fit_count(lambda n: 7.0 * n, 50, 1, 100) == 7
    with pytest.raises(ValueError, match="smallest"):
        fit(lambda x: 1000 * x, 5, low=0.01, high=8.0)
    with pytest.raises(ValueError, match="smallest"):
        fit_count(lambda n: 7.0 * n, 5, 1, 100)
