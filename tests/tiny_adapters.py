"""Tiny models with PEFT adapters, and their results by PEFT and by float64."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_models import VOCABULARY, llama, save
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
)

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def gpt2() -> Any:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=2, n_head=4, n_inner=48
    )
    return GPT2LMHeadModel(config)


def bert_config() -> Any:
    config_class: Any = BertConfig  # `num_labels` is not annotated
    return config_class(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=3,
    )


def bert() -> Any:
    torch.manual_seed(0)
    return BertModel(bert_config())


def classifier() -> Any:
    torch.manual_seed(0)
    return BertForSequenceClassification(bert_config())


@dataclass(frozen=True)
class Case:
    """A base, its dtype, and the LoRA on it."""

    lora: Mapping[str, Any]
    make: Callable[[], Any] = llama
    dtype: torch.dtype = torch.float32
    factors: torch.dtype | None = None


CASES = {
    "plain": Case({"target_modules": ATTENTION, "r": 4, "lora_alpha": 6}),
    "bf16": Case({"target_modules": "all-linear", "r": 8}, dtype=torch.bfloat16),
    "bf16 factors": Case(
        {"target_modules": "all-linear", "r": 8}, dtype=torch.bfloat16, factors=torch.bfloat16
    ),
    "f16 factors": Case(
        {"target_modules": ["down_proj"], "r": 3}, dtype=torch.float16, factors=torch.float16
    ),
    "patterns": Case({
        "target_modules": [*ATTENTION, "up_proj"],
        "r": 4,
        "lora_alpha": 5,
        "rank_pattern": {"layers.0.self_attn.q_proj": 7, r".*\.v_proj": 2, "q_proj": 3},
        "alpha_pattern": {r"layers.[01].self_attn.q_proj": 9, "q_proj": 100},
    }),
    "rslora": Case({"target_modules": ATTENTION, "r": 6, "lora_alpha": 5, "use_rslora": True}),
    "conv1d": Case({"target_modules": ["c_attn", "c_proj", "c_fc"], "r": 4}, gpt2),
    "square conv1d": Case({"target_modules": ["attn.c_proj", "lm_head"], "r": 4}, gpt2),
    "embedding": Case({"target_modules": ["embed_tokens", "q_proj"], "r": 4}),
    "modules to save": Case({
        "target_modules": ["q_proj"], "modules_to_save": ["lm_head", "norm"], "r": 4,
    }),
    "bert": Case({"target_modules": ["query", "value"], "r": 4}, bert),
    "lora biases": Case({"target_modules": ["query"], "r": 4, "bias": "lora_only"}, bert),
    "all biases": Case({"target_modules": ["query"], "r": 4, "bias": "all"}, bert),
    "dora": Case({"target_modules": "all-linear", "r": 4, "use_dora": True}),
    "dora conv1d": Case({"target_modules": ["c_attn", "c_proj"], "r": 4, "use_dora": True}, gpt2),
    "dora embedding": Case({"target_modules": ["embed_tokens"], "r": 4, "use_dora": True}),
    "dora bf16": Case(
        {"target_modules": "all-linear", "r": 4, "use_dora": True}, dtype=torch.bfloat16
    ),
    "gaussian": Case({"target_modules": ["q_proj"], "r": 4, "init_lora_weights": "gaussian"}),
    "rank past the matrix": Case({"target_modules": ["k_proj"], "r": 40}),
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """Folders of a base and of an adapter that was trained on it."""

    base: Path
    adapter: Path

    @property
    def pair(self) -> tuple[Path, Path]:
        return self.base, self.adapter

    def peft(self, kind: Any = AutoModelForCausalLM) -> Any:
        """The base with the adapter in PEFT."""
        return put_on(load(self.base, kind), self.adapter)

    def merged(self, folder: Path, kind: Any = AutoModelForCausalLM) -> Path:
        """The result of PEFT's `merge_and_unload` and `save_pretrained`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.peft(kind).merge_and_unload().save_pretrained(folder)
        return folder


def put_on(model: Any, adapter: Path) -> Any:
    """PEFT warns of deprecations in transformers and of ties; skillpm causes neither."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(model, str(adapter)).eval()


def load(folder: Path, kind: Any = AutoModelForCausalLM) -> Any:
    return kind.from_pretrained(folder, dtype="auto").eval()


def make(folder: Path, case: Case, seed: int = 3) -> Made:
    """Save a base and an adapter whose trained tensors are all nonzero."""
    base = save(case.make().to(case.dtype), folder / "base")
    kind: Any = type(case.make())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(load(base, kind), LoraConfig(**case.lora))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    noise = torch.randn(parameter.shape, generator=generator) * 0.05
                    parameter.add_(noise.to(parameter.dtype))
        model.save_pretrained(str(folder / "adapter"))
    if case.factors is not None:
        factors = case.factors
        change(folder / "adapter", lambda tensors: {k: v.to(factors) for k, v in tensors.items()})
    return Made(base, folder / "adapter")


def change(adapter: Path, how: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
    """Change the tensors of an adapter: in place, or to the result of `how`."""
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    changed = how(tensors)
    save_file(tensors if changed is None else changed, path, metadata={"format": "pt"})
    return adapter


def configure(adapter: Path, **keys: Any) -> Path:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))
    return adapter


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def exact_merge(made: Made, case: Case) -> dict[str, np.ndarray]:
    """The merged weights in plain float64, from PEFT's own modules and scales."""
    model = made.peft(type(case.make()))
    found: dict[str, np.ndarray] = {}
    for name, module in model.base_model.model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        embedding = bool(module.lora_embedding_A)
        a = module.lora_embedding_A.default if embedding else module.lora_A.default.weight
        b = module.lora_embedding_B.default if embedding else module.lora_B.default.weight
        flipped = embedding or getattr(module, "fan_in_fan_out", False)
        delta = module.scaling["default"] * (b.detach().double() @ a.detach().double())
        weight = module.base_layer.weight.detach().double()
        weight = (weight.T if flipped else weight) + delta
        if module.lora_magnitude_vector:
            magnitude = module.lora_magnitude_vector["default"].weight.detach().double()
            norm = torch.linalg.norm(weight, dim=1)
            weight = (magnitude / norm)[:, None] * weight
        found[f"{name}.weight"] = (weight.T if flipped else weight).numpy()
    return found
