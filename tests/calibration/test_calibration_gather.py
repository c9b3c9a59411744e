"""Factors from a layer's inputs and output gradients are those of the gradients of its weight."""

from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
from calibration_worlds import LETTERS, causal_model
from torch.nn.functional import linear
from transformers import GPT2Config, GPT2LMHeadModel

from skillpm.calibration.fisher import Fisher
from skillpm.calibration.gather import SEED, gather
from skillpm.running.runner import Batch, Runner

MODELS = ("llama", "gpt2")


def a_model(kind: str) -> Any:
    if kind == "llama":
        return causal_model()
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=LETTERS,
        n_positions=16,
        n_embd=16,
        n_layer=2,
        n_head=2,
        tie_word_embeddings=False,
    )
    return GPT2LMHeadModel(config).eval()


def runner_of(model: Any) -> Runner:
    return Runner(model, None, causal=True, device="cpu")


def a_fisher(folder: Path) -> Fisher:
    folder.mkdir()
    return Fisher(folder)


def batch_of(tokens: int, rows: int = 1) -> Batch:
    ids = torch.randint(0, LETTERS, (rows, tokens), generator=torch.Generator().manual_seed(1))
    return Batch(ids, torch.ones_like(ids))


def by_gradient(runner: Runner, batch: Batch, folder: Path) -> Fisher:
    """The sums of the gradient of one batch, with the labels of `gather`."""
    fisher = a_fisher(folder)
    for value in runner.model.parameters():
        value.requires_grad_()
    runner.sampled_loss(batch, torch.Generator().manual_seed(SEED)).backward()
    for name, value in runner.model.named_parameters():
        fisher.add_gradient(name, value.grad)
    fisher.batches, fisher.count = 1, runner.count(batch)
    runner.model.zero_grad()
    return fisher


def assert_same(left: Fisher, right: Fisher, tensor: str) -> None:
    one, other = left.load(tensor), right.load(tensor)
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one.columns, other.columns, rtol=1e-3, atol=1e-9)
    torch.testing.assert_close(one.rows, other.rows, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("kind", MODELS)
def test_factors_of_one_token_are_those_of_its_gradient(tmp_path: Path, kind: str) -> None:
    runner, batch = runner_of(a_model(kind)), batch_of(1)
    tensors = {name for name, _ in runner.model.named_parameters()}
    expected = by_gradient(runner, batch, tmp_path / "gradient")
    found = a_fisher(tmp_path / "products")
    gather(runner, [batch], tensors, found)
    for tensor in tensors:
        assert_same(found, expected, tensor)


@pytest.mark.parametrize("kind", MODELS)
def test_traces_of_several_tokens_are_sums_over_tokens(tmp_path: Path, kind: str) -> None:
    runner, batch = runner_of(a_model(kind)), batch_of(5, rows=2)
    matrices = {name for name, value in runner.model.named_parameters() if value.ndim > 1}
    fisher = a_fisher(tmp_path / "sums")
    gather(runner, [batch], matrices, fisher)
    for _, sums in fisher.sums:
        assert sums.rows is not None
        assert float(sums.rows.trace()) == pytest.approx(float(sums.columns.trace()), rel=1e-4)


def test_layers_run_one_sequence_at_a_time_without_gradients_of_weights(tmp_path: Path) -> None:
    runner = runner_of(causal_model())
    rows: list[int] = []
    needed: list[bool] = []

    def look(layer: Any, inputs: tuple[torch.Tensor, ...], _output: torch.Tensor) -> None:
        rows.append(len(inputs[0]))
        needed.append(layer.weight.requires_grad)

    runner.model.model.layers[0].mlp.down_proj.register_forward_hook(look)
    tensors = {name for name, _ in runner.model.named_parameters()}
    batches = [batch_of(6, rows=2), batch_of(6, rows=2)]
    gather(runner, batches, tensors, a_fisher(tmp_path / "sums"))
    assert rows == [1] * 5
    assert needed == [True, *[False] * 4], "only the comparison before the first batch needs it"
    assert not any(value.requires_grad for value in runner.model.parameters())
    assert all(value.grad is None for value in runner.model.parameters())


def test_a_weight_that_is_used_without_its_layer_gets_factors_from_its_gradient(
    tmp_path: Path,
) -> None:
    runner, batch = runner_of(causal_model()), batch_of(6, rows=2)
    mlp = runner.model.model.layers[0].mlp

    def forward(self: Any, states: torch.Tensor) -> torch.Tensor:
        product = self.act_fn(self.gate_proj(states)) * self.up_proj(states)
        return linear(product, self.down_proj.weight)

    mlp.forward = MethodType(forward, mlp)
    tensor = "model.layers.0.mlp.down_proj.weight"
    expected = by_gradient(runner, batch, tmp_path / "gradient")
    found = a_fisher(tmp_path / "found")
    gather(runner, [batch], {tensor, "model.layers.0.mlp.up_proj.weight"}, found)
    assert_same(found, expected, tensor)
    assert {name for name, _ in found.sums} == {tensor, "model.layers.0.mlp.up_proj.weight"}


def test_the_token_of_padding_gets_no_gradient(tmp_path: Path) -> None:
    model = causal_model()
    embedding = model.model.embed_tokens
    embedding.padding_idx = 3
    ids = torch.tensor([[1, 3, 5]])
    fisher = a_fisher(tmp_path / "sums")
    gather(
        runner_of(model), [Batch(ids, torch.ones_like(ids))], {"model.embed_tokens.weight"}, fisher
    )
    found = fisher.load("model.embed_tokens.weight")
    assert found is not None
    assert found.rows is not None
    reached = found.rows.diagonal() > 0
    assert reached.nonzero().flatten().tolist() == [1, 5]
