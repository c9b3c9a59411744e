"""A LoRA from PEFT is packed, grafted and exported; PEFT's arithmetic is the oracle."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from skillpm_world import World, root_of
from tiny_adapters import (
    CASES,
    Case,
    Made,
    change,
    classifier,
    configure,
    exact_merge,
    load,
    make,
    put_on,
    tensors_of,
)
from tiny_models import VOCABULARY, llama
from transformers import AutoModelForSequenceClassification

IDS = torch.arange(12)[None]


def says(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(IDS)[0]
    return found


def graft(world: World, made: Made, *more: object) -> Path:
    """Pack, verify, install and graft; return the graft's folder."""
    path = world.pack(made.pair, "acme/lora", "1.0.0", *more)
    assert world.ask("verify", path, "--base", made.base)["verified"]
    world.init(made.base)
    world.ask("install", path)
    promised = world.ask("inspect", path)["manifest"]["result_root"]
    assert world.graft_root() == promised == root_of(world.project / "graft")
    return world.project / "graft"


@pytest.mark.parametrize("name", CASES)
def test_grafted_weights_are_at_least_as_exact_as_those_of_peft(
    world: World, tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    made = make(tmp_path / "made", case)
    kind = type(case.make())

    grafted = graft(world, made)

    ours, theirs = tensors_of(grafted), tensors_of(made.merged(tmp_path / "merged", kind))
    exact = exact_merge(made, case)
    for tensor, expected in exact.items():
        distance = np.abs(ours[tensor].double().numpy() - expected)
        if tensor in theirs:
            slack = 2.0**-50 * np.abs(expected)
            assert (distance <= np.abs(theirs[tensor].double().numpy() - expected) + slack).all()
        digits = {torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}[case.dtype]
        assert (distance <= np.maximum(np.abs(expected), 2.0**-14) * 2.0**-digits).all()
    tied = "lm_head.weight" in ours.keys() - theirs.keys()
    for tensor in theirs.keys() - exact.keys() - ({"transformer.wte.weight"} if tied else set()):
        assert ours[tensor].equal(theirs[tensor])
    tolerance = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[case.dtype]
    assert says(load(grafted, kind)).sub(says(made.peft(kind))).abs().max() < tolerance


def test_pack_is_about_as_large_as_its_adapter_and_records_its_origin(
    world: World, tmp_path: Path
) -> None:
    case = Case({"target_modules": "all-linear", "r": 16}, dtype=torch.bfloat16)
    made = make(tmp_path / "made", case)
    configure(made.adapter, base_model_name_or_path="acme/tiny-llama")
    path = world.pack(made.pair, "acme/lora", "1.0.0")
    manifest = world.ask("inspect", path)["manifest"]
    adapter = (made.adapter / "adapter_model.safetensors").stat().st_size
    assert manifest["compression"]["payload_bytes"] < 1.2 * adapter
    assert manifest["compression"]["scheme"] == "lossless"
    assert manifest["compression"]["relative_error"] == 0
    assert manifest["compression"]["modules"]["mlp"]["codec"] == "lowrank"
    assert manifest["compression"]["settings"]["adapter"]["ranks"] == [16]
    assert manifest["provenance"]["sources"] == ["acme/tiny-llama"]
    assert manifest["provenance"]["method"] == "lora"


def test_manifest_contains_no_local_path(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "made", CASES["plain"])
    path = world.pack(made.pair, "acme/lora", "1.0.0")
    assert world.ask("inspect", path)["manifest"]["provenance"]["sources"] == ["base"]
    gone = "/home/somebody/models/tiny"
    configure(made.adapter, base_model_name_or_path=gone)
    path = world.pack(made.pair, "acme/lora", "1.0.1")
    assert world.ask("inspect", path)["manifest"]["provenance"]["sources"] == ["tiny"]


def test_adapter_of_a_model_with_a_head_fits_a_base_without_one(
    world: World, tmp_path: Path
) -> None:
    """The adapter's names have the prefix `bert.`, and it includes a classifier."""
    case = Case({"target_modules": ["query"], "task_type": "SEQ_CLS", "r": 4}, classifier)
    made = make(tmp_path / "made", case)
    bare = tmp_path / "bare"
    model = load(made.base, AutoModelForSequenceClassification)
    model.bert.save_pretrained(bare)
    configure(made.adapter, base_model_name_or_path="acme/bert")

    grafted = graft(world, Made(bare, made.adapter))

    ours = tensors_of(grafted)
    exact = exact_merge(made, case)
    assert len(exact) == 2
    for name, expected in exact.items():
        found = ours[name.removeprefix("bert.")].double().numpy()
        assert np.abs(found - expected).max() <= np.abs(expected).max() * 2.0**-24
    assert ours["classifier.weight"].shape == (3, 32)


def _tied(lora: dict[str, Any]) -> Case:
    return Case({"r": 4, **lora}, lambda: llama(tied=True))


@pytest.mark.parametrize("lora", [
    {"target_modules": ["lm_head", "q_proj"]},
    {"target_modules": ["embed_tokens", "q_proj"]},
    {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
])  # fmt: skip
def test_tie_that_the_adapter_breaks_is_broken_in_the_graft(
    world: World, tmp_path: Path, lora: dict[str, Any]
) -> None:
    made = make(tmp_path / "made", _tied(lora))
    base = load(made.base)
    assert base.lm_head.weight.data_ptr() == base.model.embed_tokens.weight.data_ptr()

    grafted = graft(world, made)

    assert "lm_head.weight" in tensors_of(grafted)
    assert says(load(grafted)).sub(says(made.peft())).abs().max() < 2e-6


def test_tie_that_the_adapter_keeps_is_kept(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "made", _tied({"target_modules": ["q_proj"]}))
    assert "lm_head.weight" not in tensors_of(graft(world, made))


def test_adapter_with_a_grown_vocabulary_is_packed(world: World, tmp_path: Path) -> None:
    base = tmp_path / "base"
    llama().save_pretrained(base)
    tuned = load(base)
    tuned.resize_token_embeddings(VOCABULARY + 4, mean_resizing=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(tuned, LoraConfig(target_modules=["q_proj"], r=4))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.add_(0.05)
        model.save_pretrained(str(tmp_path / "adapter"))
    grafted = graft(world, Made(base, tmp_path / "adapter"))
    found = load(grafted)
    assert found.config.vocab_size == VOCABULARY + 4
    assert says(found).sub(says(model.eval())).abs().max() < 2e-6


def test_dense_tensor_of_another_dtype_requires_cast(world: World, tmp_path: Path) -> None:
    case = Case(
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"], "r": 4},
        dtype=torch.bfloat16,
    )
    made = make(tmp_path / "made", case)
    change(made.adapter, lambda tensors: {k: v.float() for k, v in tensors.items()})
    arguments = ("pack", *made.pair, "--name", "acme/lora", "--version", "1.0.0")
    assert "--cast" in world.fail(*arguments, code=1, kind="graft")
    assert says(load(graft(world, made, "--cast"))).isfinite().all()


def test_adapter_is_layered_on_another(world: World, tmp_path: Path) -> None:
    first = make(tmp_path / "first", CASES["plain"])
    below = graft(world, first)
    second = make(tmp_path / "second", CASES["patterns"], seed=9)
    configure(second.adapter, base_model_name_or_path=str(below))
    over = ("--over", "acme/lora@1.0.0")
    path = world.pack((first.base, second.adapter), "acme/more", "1.0.0", *over)
    world.ask("install", path)
    world.graft_root()
    expected = says(put_on(load(first.merged(tmp_path / "merged")), second.adapter))
    assert says(load(world.project / "graft")).sub(expected).abs().max() < 5e-6
    refused = world.fail(
        "pack", first.base, second.adapter, "--name", "a/b", "--version", "1.0.0",
        code=3, kind="integrity",
    )  # fmt: skip
    assert "was trained on" in refused


def test_two_adapters_are_summed_and_uninstalled(world: World, tmp_path: Path) -> None:
    one = make(tmp_path / "one", CASES["plain"])
    two = make(tmp_path / "two", CASES["rslora"], seed=9)
    root = world.init(one.base)
    world.ask("install", world.pack(one.pair, "acme/one", "1.0.0"))
    world.ask("install", world.pack((one.base, two.adapter), "acme/two", "1.0.0"))
    world.graft_root()
    found = tensors_of(world.project / "graft")
    first, second = exact_merge(one, CASES["plain"]), exact_merge(two, CASES["rslora"])
    for name, weight in tensors_of(one.base).items():
        if name in first:
            total = first[name] + second[name] - weight.double().numpy()
            assert np.abs(found[name].double().numpy() - total).max() < 1e-7
    world.ask("uninstall", "acme/one", "acme/two")
    assert world.graft_root() == root


def test_adapter_may_be_packed_by_a_lossy_scheme(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "made", CASES["plain"])
    path = world.pack(made.pair, "acme/lora", "1.0.0", "--scheme", "graftllm")
    manifest = world.ask("inspect", path)["manifest"]
    assert {entry["codec"] for entry in manifest["footprint"]} == {"svd"}


def test_adapter_packs_deterministically(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    made = make(tmp_path / "made", CASES["dora"])
    first = world.pack(made.pair, "acme/lora", "1.0.0").read_bytes()
    assert world.pack(made.pair, "acme/lora", "1.0.0").read_bytes() == first
