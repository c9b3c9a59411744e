"""Inconsistent adapters are refused by name, and nothing is packed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from skillpm_world import World
from tiny_adapters import CASES, Made, change, configure, make
from tiny_models import rewrite

Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_"


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path / "made", CASES["plain"])


def refuse(world: World, made: Made, kind: str = "spec", code: int = 1) -> str:
    target = world.folder / "never.skillpack"
    said = world.fail(
        "pack", *made.pair, "--name", "a/b", "--version", "1.0.0", "-o", target,
        code=code, kind=kind,
    )  # fmt: skip
    assert not target.exists()
    return said


def _grown(side: str, size: int) -> Callable[[dict[str, Any]], Any]:
    def grow(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{Q}{side}.weight"] = torch.randn((size, 32) if side == "A" else (32, size))

    return grow


@pytest.mark.parametrize(("how", "kind", "problem"), [
    (_grown("A", 5), "spec", "their ranks differ"),
    (_grown("B", 5), "spec", "their ranks differ"),
    (lambda t: t.update({f"{Q}A.weight": torch.randn(4, 31)}), "graft", "update of"),
    (lambda t: t.update({f"{Q}A.weight": torch.randn(4)}), "spec", "should be a matrix"),
    (lambda t: t.update({f"{Q}A.weight": torch.zeros(4, 0)}), "spec", "should be a matrix"),
    (lambda t: t.update({f"{Q}A.weight": torch.randn(4, 32).double()}), "spec", "F64"),
    (lambda t: t.update({f"{Q}A.weight": torch.randn(4, 32, 1, 1)}), "spec", "is a convolution"),
    (lambda t: t[f"{Q}A.weight"].fill_(float("nan")), "graft", "has NaN or Inf"),
    (lambda t: t[f"{Q}B.weight"].fill_(float("inf")), "graft", "has NaN or Inf"),
    (lambda t: [t[f"{Q}{side}.weight"].fill_(3e30) for side in "AB"], "graft", "overflows"),
    (lambda t: t.update({f"{Q}A.other.weight": torch.randn(4, 32)}), "spec", "twice"),
    (lambda t: t.update({"../evil": torch.zeros(1)}), "spec", "start with"),
    (lambda t: t.update({"base_model.model.../../evil": torch.zeros(1)}), "graft", "has no"),
    (lambda t: t.pop(f"{Q}A.weight"), "spec", "has no factor A"),
])  # fmt: skip
def test_inconsistent_tensors_are_refused(
    world: World, made: Made, how: Callable[[dict[str, Any]], Any], kind: str, problem: str
) -> None:
    def apply(tensors: dict[str, Any]) -> None:
        how(tensors)

    change(made.adapter, apply)
    assert problem in refuse(world, made, kind)


def test_rank_above_the_tensor_size_is_refused(world: World, made: Made) -> None:
    def grow(tensors: dict[str, torch.Tensor]) -> None:
        for name in [n for n in tensors if ".q_proj." not in n or "layers.1" in n]:
            del tensors[name]
        _grown("A", 600)(tensors)
        _grown("B", 600)(tensors)

    configure(change(made.adapter, grow), r=600)
    assert "has rank 600" in refuse(world, made, "graft")


def test_target_that_the_base_lacks_is_named(world: World, made: Made) -> None:
    module = "model.layers.7.self_attn.q_proj"

    def add(tensors: dict[str, torch.Tensor]) -> None:
        for side in "AB":
            size = (4, 32) if side == "A" else (32, 4)
            tensors[f"base_model.model.{module}.lora_{side}.weight"] = torch.ones(size)

    change(made.adapter, add)
    assert f"targets `{module}`, but the base has no" in refuse(world, made, "graft")


def test_pickles_are_refused(world: World, made: Made) -> None:
    weights = made.adapter / "adapter_model.safetensors"
    weights.rename(made.adapter / "adapter_model.bin")
    assert "is a pickle, which can run code" in refuse(world, made)
    (made.adapter / "adapter_model.bin").unlink()
    assert "there is no `adapter_model.safetensors`" in refuse(world, made, "not_found")


def test_untrained_adapter_has_nothing_to_pack(world: World, made: Made) -> None:
    def untrain(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            if "lora_B" in name:
                tensor.zero_()

    change(made.adapter, untrain)
    assert "there is nothing to pack" in refuse(world, made, "graft")


def test_alpha_of_zero_has_nothing_to_pack(world: World, made: Made) -> None:
    configure(made.adapter, lora_alpha=0)
    assert "there is nothing to pack" in refuse(world, made, "graft")


def test_another_base_than_the_adapters_is_refused_by_content(
    world: World, made: Made, tmp_path: Path
) -> None:
    other = make(tmp_path / "other", CASES["plain"]).base
    rewrite(other, lambda tensors: tensors["lm_head.weight"].add_(0.5))
    wrong = Made(other, made.adapter)
    said = refuse(world, wrong, "integrity", code=3)
    assert "was trained on" in said
    assert "all tensors that the adapter changes are the same" in said
    rewrite(other, lambda tensors: tensors["model.layers.0.self_attn.q_proj.weight"].add_(0.5))
    assert "changes are the same" not in refuse(world, wrong, "integrity", code=3)


def test_quantised_base_is_refused(world: World, made: Made) -> None:
    config = made.base / "config.json"
    config.write_text(config.read_text().replace("{", '{"quantization_config": {"bits": 4},', 1))
    assert "is quantised" in refuse(world, made, "graft")


def test_dora_magnitudes_that_do_not_fit_are_refused(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "dora", CASES["dora"])
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"
    change(made.adapter, lambda tensors: {**tensors, name: torch.ones(31)})
    assert "does not fit" in refuse(world, made, "graft")
    change(made.adapter, lambda tensors: {k: v for k, v in tensors.items() if k != name})
    assert "has no magnitudes" in refuse(world, made)
    configure(made.adapter, use_dora=False)
    assert "does not use DoRA" in refuse(world, made)


def test_very_large_deltas_still_have_a_sketch(world: World, made: Made) -> None:
    def grow(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{Q}B.weight"].fill_(3e38)

    change(made.adapter, grow)
    path = world.pack(made.pair, "a/b", "1.0.0")
    assert world.ask("verify", path, "--base", made.base)["verified"]
