"""Export of skills: as adapters that PEFT loads, and as plain models."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_skills import installed, says
from safetensors import safe_open
from safetensors.torch import load_file
from skillpm_world import World
from tiny_adapters import ATTENTION, CASES, Case, load, make, put_on, tensors_of
from tiny_models import Models, nudge, save

from skillpm import inspect
from skillpm.adapters.adapter import open_adapter

ALLOWED = {8, 16, 32, 64, 128, 256, 320, 512}


def parse_adapter(folder: Path) -> dict[str, tuple[int, float, list[torch.Tensor]]]:
    """The rank, the scale and the factors of each module, by PEFT's rules."""
    adapter = open_adapter(folder)
    factors = load_file(folder / "adapter_model.safetensors")
    return {
        module: (
            adapter.config.rank_of(module),
            adapter.config.scale_of(module, adapter.config.rank_of(module)),
            [factors[spec.name] for spec in adapter.factors(module)],
        )
        for module in adapter.keys.modules
    }


def check_within_limits(folder: Path) -> dict[str, Any]:
    """The requirements of vLLM for an adapter."""
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert config["r"] == config["lora_alpha"]
    assert config["r"] in ALLOWED
    assert (config["bias"], config["use_dora"], config["modules_to_save"]) == ("none", False, None)
    assert not config["rank_pattern"]
    assert not config["alpha_pattern"]
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        for name in file.keys():  # noqa: SIM118 - the file is no mapping
            shape = file.get_slice(name).get_shape()
            assert shape[0 if ".lora_A." in name else 1] == config["r"]
            assert name.endswith((".lora_A.weight", ".lora_B.weight"))
    assert {path.name for path in folder.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors",
    }  # fmt: skip
    return config


EXACT = ["plain", "bf16", "bf16 factors", "f16 factors", "patterns", "rslora", "conv1d", "bert"]


@pytest.mark.parametrize("name", EXACT)
def test_rank_own_exports_a_lora_with_its_own_factors_ranks_and_alpha(
    world: World, tmp_path: Path, name: str
) -> None:
    made = make(tmp_path / "made", CASES[name])
    kind = type(CASES[name].make())
    installed(world, made.pair)
    target = tmp_path / "out"

    done = world.ask("export", "acme/skill", "--format", "peft", "--rank", "own", target)

    assert (done["residual"], done["left_out"]) == (0.0, [])
    before, after = parse_adapter(made.adapter), parse_adapter(target)
    assert after.keys() == before.keys()
    for module, (rank, scale, sides) in before.items():
        assert after[module][:2] == (rank, scale)
        assert all(map(torch.equal, after[module][2], sides))
    config = json.loads((target / "adapter_config.json").read_text())
    assert config["lora_alpha"] == done["alpha"]
    assert config["use_rslora"] == (name == "rslora")
    assert says(put_on(load(made.base, kind), target)).equal(says(made.peft(kind)))


@pytest.mark.parametrize("name", ["patterns", "rslora"])
def test_packing_an_exported_lora_again_gives_the_same_root(
    world: World, tmp_path: Path, name: str
) -> None:
    made = make(tmp_path / "made", CASES[name])
    first = world.pack(made.pair, "acme/skill", "1.0.0")
    world.ask("export", first, "--format", "peft", "--base", made.base, tmp_path / "out")

    again = world.pack((made.base, tmp_path / "out"), "acme/skill", "1.0.1")

    assert inspect(again).result_root == inspect(first).result_root


@pytest.mark.parametrize("name", ["plain", "patterns", "bf16", "conv1d"])
def test_lora_is_exported_at_one_rank_with_rank_best(
    world: World, tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    made = make(tmp_path / "made", case)
    kind = type(case.make())
    installed(world, made.pair)
    world.graft_root()
    target = tmp_path / "out"

    done = world.ask("export", "acme/skill", "--format", "peft", "--rank", "best", target)

    assert done["residual"] < 1e-6
    assert done["left_out"] == []
    config = check_within_limits(target)
    assert config["base_model_name_or_path"] == str(made.base.resolve())
    assert config["r"] == done["rank"] == 8
    again = says(put_on(load(made.base, kind), target))
    tolerance = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[case.dtype]
    assert again.sub(says(made.peft(kind))).abs().max() < tolerance
    assert again.sub(says(load(world.project / "graft", kind))).abs().max() < tolerance


def test_factors_with_a_power_of_two_scale_keep_their_dtype(world: World, tmp_path: Path) -> None:
    case = Case(
        {"target_modules": ATTENTION, "r": 8, "lora_alpha": 16},
        dtype=torch.bfloat16,
        factors=torch.bfloat16,
    )
    made = make(tmp_path / "made", case)
    installed(world, made.pair)
    world.ask("export", "acme/skill", "--format", "peft", "--rank", "best", tmp_path / "out")
    before = load_file(made.adapter / "adapter_model.safetensors")
    after = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].equal(2 * tensor if "lora_B" in name else tensor)


def test_full_fine_tune_is_truncated_to_a_rank_and_reports_the_loss(
    world: World, tmp_path: Path
) -> None:
    made = make(tmp_path / "made", CASES["plain"])
    tuned = save(nudge(load(made.base), only="proj"), tmp_path / "tuned")
    installed(world, (made.base, tuned))
    for rank in (8, 32):
        target = tmp_path / f"out{rank}"
        done = world.ask("export", "acme/skill", "--format", "peft", "--rank", rank, target)
        assert check_within_limits(target)["r"] == done["rank"] == rank
        before, after = tensors_of(made.base), tensors_of(tuned)
        factors = load_file(target / "adapter_model.safetensors")
        lost = norm = 0.0
        for name, tensor in before.items():
            delta = after[name].double() - tensor.double()
            stem = f"base_model.model.{name.removesuffix('.weight')}.lora_"
            if f"{stem}A.weight" in factors:
                b, a = (factors[f"{stem}{side}.weight"].double() for side in "BA")
                lost += float((delta - b @ a).square().sum())
            norm += float(delta.square().sum())
        assert done["residual"] == pytest.approx((lost / norm) ** 0.5, rel=1e-3, abs=1e-6)
        assert sum(one["tensors"] for one in done["kinds"]) == 14
        put_on(load(made.base), target)
    assert says(put_on(load(made.base), target)).sub(says(load(tuned))).abs().max() < 1e-5


def test_residual_option_selects_the_lowest_sufficient_rank(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "made", CASES["plain"])
    tuned = save(nudge(load(made.base), only="proj"), tmp_path / "tuned")
    installed(world, (made.base, tuned))
    peft = ("export", "acme/skill", "--format", "peft")
    best = world.ask(*peft, "--residual", 0.5, tmp_path / "best")
    assert best["rank"] == 16
    assert best["residual"] <= 0.5
    below = world.ask(*peft, "--rank", 8, tmp_path / "below")
    assert below["residual"] > 0.5
    full = world.ask(*peft, tmp_path / "full")
    assert (full["rank"], full["residual"] < 0.01) == (32, True)


def test_rank_below_the_rank_of_the_lora_truncates_its_factors(
    world: World, tmp_path: Path
) -> None:
    case = Case({"target_modules": ATTENTION, "r": 24})
    made = make(tmp_path / "made", case)
    installed(world, made.pair)
    done = world.ask("export", "acme/skill", "--format", "peft", "--rank", 16, tmp_path / "cut")
    assert 0.05 < done["residual"] < 0.9
    best = world.ask(
        "export", "acme/skill", "--format", "peft", "--rank", "best", tmp_path / "best"
    )
    assert (best["rank"], best["residual"] < 1e-6) == (32, True)
    whole = world.ask("export", "acme/skill", "--format", "peft", tmp_path / "whole")
    assert (whole["rank"], whole["residual"]) == (32, 0.0)


def test_tensors_that_a_lora_cannot_hold_are_left_out_only_with_partial(
    world: World, models: Models, tmp_path: Path
) -> None:
    pair = models.pair("fp32")
    installed(world, pair)
    peft = ("export", "acme/skill", "--format", "peft", "--rank", 32, tmp_path / "out")
    said = world.fail(*peft, code=1, kind="graft")
    assert "cannot hold 6 tensors" in said
    assert "`model.embed_tokens.weight` (embedding)" in said
    assert "--partial" in said
    assert not (tmp_path / "out").exists()
    done = world.ask(*peft, "--partial")
    left = {one["tensor"]: one for one in done["left_out"]}
    assert len(left) == 6
    assert left["model.norm.weight"]["reason"] == "norm"
    before, after = tensors_of(pair[0]), tensors_of(pair[1])
    norms = {n: float((after[n].double() - t.double()).square().sum()) for n, t in before.items()}
    for name, one in left.items():
        assert one["share"] == pytest.approx(norms[name] / sum(norms.values()))
    shares = sum(one["share"] for one in left.values())
    assert done["total_residual"] == pytest.approx(shares**0.5, rel=1e-3)
    check_within_limits(tmp_path / "out")


def test_skill_that_changes_no_matrix_cannot_be_exported_as_lora(
    world: World, models: Models, tmp_path: Path
) -> None:
    installed(world, models.tuned("norm"))
    peft = ("export", "acme/skill", "--format", "peft", tmp_path / "out")
    assert "a LoRA can hold no tensor" in world.fail(*peft, code=1, kind="graft")


def test_dora_and_layered_packs_are_factored_by_svd(world: World, tmp_path: Path) -> None:
    dora = make(tmp_path / "dora", CASES["dora"])
    world.init(dora.base)
    first = world.pack(dora.pair, "acme/dora", "1.0.0")
    world.ask("install", first)
    world.graft_root()
    tuned = save(nudge(load(world.project / "graft"), only="q_proj"), tmp_path / "tuned")
    over = world.pack((dora.base, tuned), "acme/more", "1.0.0", "--over", "acme/dora")
    world.ask("install", over)
    world.graft_root()
    for skill, model in (("acme/dora", dora.peft()), ("acme/more", load(tuned))):
        target = tmp_path / skill.replace("/", "-")
        done = world.ask("export", skill, "--format", "peft", "--rank", 32, target)
        assert done["residual"] < 1e-4
        assert says(put_on(load(dora.base), target)).sub(says(model)).abs().max() < 1e-4


@pytest.mark.parametrize("wrong", [
    ("--format", "merged", "--rank", "8"), ("--format", "merged", "--partial"),
    ("--format", "peft", "--rank", "8", "--residual", "0.1"), ("--format", "peft", "--rank", "24"),
    ("--format", "peft", "--rank", "own", "--residual", "0.1"),
    (), ("--format", "gguf"),
])  # fmt: skip
def test_contradictory_flags_are_usage_errors(
    world: World, tmp_path: Path, wrong: tuple[str, ...]
) -> None:
    world.fail("export", "acme/skill", *wrong, tmp_path / "out", code=2, kind="usage")


def test_text_output_names_rank_and_alpha_of_a_packed_lora(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "made", CASES["patterns"])
    installed(world, made.pair)
    shown = world.run("export", "acme/skill", "--format", "peft", tmp_path / "out").out
    line = "the packed LoRA's own factors: rank 8, alpha 5, with patterns"
    assert f"{line}, padded with zeros from rank 2, 3, 4, 7\n" in shown


def test_text_output_shows_the_loss(world: World, models: Models, tmp_path: Path) -> None:
    installed(world, models.pair("grown"))
    out = world.run(
        "export", "acme/skill", "--format", "peft", "--rank", 8, "--partial", tmp_path / "out"
    )
    assert out.code == 0, out
    assert "exported acme/skill 1.0.0 into" in out.out
    assert "rank 8, residual 0." in out.out
    assert "attention" in out.out
    assert "tensors are left out" in out.err
    assert "model.embed_tokens.weight (resized): share unknown" in out.err
    assert "an adapter does not carry" in out.err
    merged = world.run("export", "acme/skill", "--format", "merged", tmp_path / "merged")
    assert "sha256:" in merged.out
