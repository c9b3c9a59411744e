"""Figure 7: every weight of a grafted LoRA against the exact result, compared with PEFT's merge.

`python -m benchmarks.lora.exact [--width 512] [--layers 4]`. The exact result is computed in long
double (64 bits of significand), from the factors and the scale. Distances are in units in the last
place of the exact result in the base's dtype: correct rounding gives at most one half. The logits
of the graft, of PEFT's merge, and of the result of `skillpm export --format peft` are then compared
with those of PEFT's unmerged model.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)
from transformers.utils import logging

from benchmarks.tools.running import skillpm
from benchmarks.tools.table import Table, add_output, publish

_DIGITS = {torch.float32: (24, -149), torch.bfloat16: (8, -133), torch.float16: (11, -24)}
_VOCABULARY = 1000


@dataclass(frozen=True)
class Case:
    """The base's dtype, the factors' dtype and the kind of LoRA."""

    title: str
    dtype: torch.dtype
    factors: torch.dtype
    lora: dict[str, Any]
    conv: bool = False


CASES = (
    Case("f32, f32 factors", torch.float32, torch.float32, {}),
    Case("bf16, f32 factors", torch.bfloat16, torch.float32, {}),
    Case("bf16, bf16 factors", torch.bfloat16, torch.bfloat16, {}),
    Case("f16, f16 factors", torch.float16, torch.float16, {}),
    Case("f32, rsLoRA", torch.float32, torch.float32, {"use_rslora": True}),
    Case("f32, DoRA", torch.float32, torch.float32, {"use_dora": True}),
    Case("bf16, DoRA", torch.bfloat16, torch.float32, {"use_dora": True}),
    Case("f32, GPT-2 (Conv1D)", torch.float32, torch.float32, {}, conv=True),
)


def base_of(case: Case, width: int, layers: int) -> Any:
    """A model of random weights."""
    torch.manual_seed(0)
    if case.conv:
        config = GPT2Config(
            vocab_size=_VOCABULARY, n_positions=256, n_embd=width, n_layer=layers, n_head=8
        )
        gpt: Any = GPT2LMHeadModel(config)
        return gpt.to(case.dtype)
    plain = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=width,
        intermediate_size=11 * width // 4,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    llama: Any = LlamaForCausalLM(plain)
    return llama.to(case.dtype)


def load(folder: Path) -> Any:
    """Load a model with transformers."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()


def put_on(model: Any, adapter: Path) -> Any:
    """The unmerged adapter; PEFT widens narrow factors to float32, which changes no value."""
    return PeftModel.from_pretrained(model, str(adapter)).eval()


def make(case: Case, folder: Path, width: int, layers: int) -> None:
    """Save base and adapter; every factor is nonzero."""
    base_of(case, width, layers).save_pretrained(folder / "base")
    config = LoraConfig(r=16, lora_alpha=24, target_modules="all-linear", **case.lora)
    model = get_peft_model(load(folder / "base"), config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "magnitude" in name:
                noise = torch.randn(parameter.shape, generator=generator) * 0.01
                parameter.add_(noise.to(parameter.dtype))
    model.save_pretrained(str(folder / "adapter"))
    path = folder / "adapter" / "adapter_model.safetensors"
    tensors = {name: tensor.to(case.factors) for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def long(tensor: torch.Tensor) -> np.ndarray:
    """Exact values in long double."""
    return tensor.detach().double().numpy().astype(np.longdouble)


def exact_weights(model: Any) -> dict[str, np.ndarray]:
    """The exact merged weights in long double, from PEFT's own factors and scales."""
    found: dict[str, np.ndarray] = {}
    for name, module in model.base_model.model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        flipped = getattr(module, "fan_in_fan_out", False)
        a, b = (long(side["default"].weight) for side in (module.lora_A, module.lora_B))
        weight = long(module.base_layer.weight)
        weight = (weight.T if flipped else weight) + np.longdouble(
            module.scaling["default"]
        ) * np.dot(b, a)
        if module.lora_magnitude_vector:
            magnitude = long(module.lora_magnitude_vector["default"].weight)
            weight = (magnitude / np.sqrt((weight * weight).sum(axis=1)))[:, None] * weight
        found[f"{name}.weight"] = weight.T if flipped else weight
    return found


def distances(
    folder: Path, exact: dict[str, np.ndarray], dtype: torch.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """|stored - exact| of all weights, absolute and in units in the last place."""
    tensors = load_file(folder / "model.safetensors")
    digits, least = _DIGITS[dtype]
    plain, units = [], []
    for name, expected in exact.items():
        away = np.abs(long(tensors[name]) - expected)
        unit = np.ldexp(1.0, np.maximum(np.frexp(expected)[1] - digits, least))
        plain.append(away.reshape(-1))
        units.append((away / unit).astype(np.float64).reshape(-1))
    return np.concatenate(plain), np.concatenate(units)


def logits(model: Any) -> torch.Tensor:
    """The logits of a model for 64 tokens."""
    with torch.no_grad():
        found: torch.Tensor = model(torch.arange(64)[None] * 7 % _VOCABULARY).logits
    return found.double()


def measure(case: Case, folder: Path, width: int, layers: int) -> tuple[list[str], bool]:
    """One row, and whether every weight is at most as far from exact as PEFT's."""
    make(case, folder, width, layers)
    home, project = folder / "home", folder / "project"
    project.mkdir()
    base, adapter, file = (str(folder / n) for n in ("base", "adapter", "lora.skillpack"))
    name = ("--name", "acme/lora", "--version", "1.0.0", "-o", file)
    skillpm("pack", base, adapter, *name, home=home)
    skillpm("init", "--base", base, cwd=project, home=home)
    skillpm("install", file, cwd=project, home=home)
    skillpm("graft", cwd=project, home=home)
    unmerged = put_on(load(folder / "base"), folder / "adapter")
    exact, spoken = exact_weights(unmerged), logits(unmerged)
    unmerged.merge_and_unload().save_pretrained(folder / "peft")
    mine, my_units = distances(project / "graft", exact, case.dtype)
    theirs, their_units = distances(folder / "peft", exact, case.dtype)
    farther = int((mine > theirs).sum())
    said = [float((logits(load(f)) - spoken).abs().max()) for f in (project / "graft",
                                                                    folder / "peft")]  # fmt: skip
    if not case.lora.get("use_dora"):
        out = str(folder / "out")
        skillpm("export", "acme/lora", "--format", "peft", out, cwd=project, home=home)
        again = logits(put_on(load(folder / "base"), folder / "out"))
        said.append(float((again - spoken).abs().max()))
    cells = [f"{mine.size:,}", str(farther), f"{float((mine < theirs).mean()):.2%}"]
    cells += [f"{my_units.max():.4f}", f"{their_units.max():.4f}"]
    return [*cells, *(f"{one:.1e}" for one in said), *["-"] * (3 - len(said))], farther == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=4)
    add_output(parser)
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    columns = ("base", "weights", "ours farther", "ours nearer", "ours, max ulp", "PEFT, max ulp",
               "logits: graft", "logits: PEFT merged", "logits: exported")  # fmt: skip
    table = Table(f"LoRA of rank 16 on all linear layers, width {arguments.width}", columns)
    held = True
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="skillpm-bench-") as name:
            cells, fine = measure(case, Path(name), arguments.width, arguments.layers)
        table.row(case.title, *cells)
        held = held and fine
    publish(table, arguments.append)
    sys.exit(0 if held else "a grafted weight is farther from the exact result than PEFT's")


if __name__ == "__main__":
    main()
