"""A model whose layers are streamed has the answers and the gradients of the whole model."""

from pathlib import Path

import pytest
import torch
from calibration_worlds import LETTERS, causal_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from skillpm.calibration.fisher import Fisher
from skillpm.calibration.gather import gather
from skillpm.running import folder as model_folder
from skillpm.running.folder import is_too_large, memory
from skillpm.running.runner import Batch, Runner
from skillpm.running.streamed import StreamedModel, load_streamed


def assert_near(left: torch.Tensor | None, right: torch.Tensor | None) -> None:
    """Both tensors are equal, apart from the order of sums."""
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


def streamed_from(folder: Path) -> StreamedModel | None:
    return load_streamed(AutoModelForCausalLM, AutoConfig.from_pretrained(folder), folder)


def runners(folder: Path, *, tied: bool) -> tuple[Runner, Runner]:
    """The whole model, and the streamed one from its folder."""
    whole = causal_model(tied=tied)
    whole.save_pretrained(folder)
    streamed = streamed_from(folder)
    assert streamed is not None
    return (
        Runner(whole, None, causal=True, device="cpu"),
        Runner(streamed.model, None, causal=True, device="cpu", streamed=streamed),
    )


def some_batches() -> list[Batch]:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, LETTERS, (3, 2, 6), generator=draw)
    return [Batch(part, torch.ones_like(part)) for part in ids]


@torch.no_grad()
def answers(runner: Runner) -> list[torch.Tensor]:
    return [runner.answer(batch) for batch in some_batches()]


@pytest.mark.parametrize("tied", [False, True])
def test_fisher_factors_of_a_streamed_model_are_those_of_the_whole(
    tmp_path: Path, *, tied: bool
) -> None:
    whole, streamed = runners(tmp_path / "model", tied=tied)
    tensors = {name for name, _ in whole.model.named_parameters()}
    sums = {}
    for name, runner in (("whole", whole), ("streamed", streamed)):
        (tmp_path / name).mkdir()
        sums[name] = Fisher(tmp_path / name)
        gather(runner, some_batches(), tensors, sums[name])
    for tensor in tensors:
        left, right = sums["whole"].load(tensor), sums["streamed"].load(tensor)
        assert left is not None
        assert right is not None
        assert_near(left.columns, right.columns)
        assert_near(left.rows, right.rows)


def test_the_factors_of_layers_alone_need_no_gradient_of_the_embedding(tmp_path: Path) -> None:
    whole, streamed = runners(tmp_path / "model", tied=False)
    tensor = "model.layers.1.self_attn.q_proj.weight"
    sums = []
    for number, runner in enumerate((whole, streamed)):
        (tmp_path / str(number)).mkdir()
        sums.append(Fisher(tmp_path / str(number)))
        gather(runner, some_batches(), {tensor}, sums[-1])
    left, right = (fisher.load(tensor) for fisher in sums)
    assert left is not None
    assert right is not None
    assert_near(left.columns, right.columns)


def test_layers_have_weights_only_while_they_run(tmp_path: Path) -> None:
    whole, streamed = runners(tmp_path / "model", tied=False)
    layer = streamed.model.model.layers[0].mlp.down_proj
    during: list[int] = []
    layer.register_forward_hook(lambda *_: during.append(layer.weight.untyped_storage().nbytes()))
    left, right = (answers(runner) for runner in (whole, streamed))
    assert during == [layer.weight.numel() * 4] * 3
    assert layer.weight.untyped_storage().nbytes() == 4
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("prefix", ["model.", "", "language_model.model."])
def test_placed_weights_replace_those_of_the_files(tmp_path: Path, prefix: str) -> None:
    whole, streamed = runners(tmp_path / "model", tied=False)
    named = whole.model.named_parameters()
    shapes = {name.replace("model.", prefix, 1): value.shape for name, value in named}
    weights = {name: torch.randn(shape) for name, shape in shapes.items()}
    for runner in (whole, streamed):
        runner.place(weights)
    left, right = (answers(runner) for runner in (whole, streamed))
    torch.testing.assert_close(left[0], right[0])


def test_a_model_under_other_names_is_not_streamed(tmp_path: Path) -> None:
    causal_model().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = {name.removeprefix("model."): tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    assert streamed_from(tmp_path) is None


def test_models_over_a_third_of_the_memory_are_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    causal_model().save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(model_folder, "_CONTROL_GROUP", limit)
    for text, expected in (("max", False), (str(4 * size), False), (str(size), True)):
        limit.write_text(f"{text}\n")
        assert is_too_large(config, tmp_path) is expected
    assert memory() == size
    config.dtype = torch.bfloat16  # float32 takes twice the bytes of the files
    limit.write_text(f"{3 * size}\n")
    assert is_too_large(config, tmp_path)
