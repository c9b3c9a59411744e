"""A config whose parameters differ from the tensors is refused before memory is allocated."""

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MixtralConfig,
    MixtralForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
)

from skillpm.errors import GraftError
from skillpm.live.loading import load_base
from skillpm.running.folder import checked_config, load_weights
from skillpm.running.parameters import check_parameters
from skillpm.running.runner import Runner
from skillpm.spec.config_numbers import check_numbers
from skillpm.spec.dtypes import TensorSpec

SMALL: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": 60, "max_position_embeddings": 64,
}  # fmt: skip
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "image_size": 16, "patch_size": 8,
}  # fmt: skip
MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL)),
    "tied": lambda: LlamaForCausalLM(LlamaConfig(**SMALL, tie_word_embeddings=True)),
    "experts": lambda: MixtralForCausalLM(MixtralConfig(**SMALL, num_local_experts=6)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=60, n_positions=64)
    ),
    "t5": lambda: T5ForConditionalGeneration(
        T5Config(d_model=32, d_ff=64, num_layers=2, num_heads=4, d_kv=8, vocab_size=60)
    ),
    "bert": lambda: BertModel(BertConfig(**SMALL)),
    "bert without a pooler": lambda: BertForMaskedLM(BertConfig(**SMALL)),
    "vision": lambda: ViTForImageClassification(ViTConfig(**VISION)),
    "vision and text": lambda: LlavaForConditionalGeneration(
        LlavaConfig(
            text_config={**SMALL, "model_type": "llama"},
            vision_config={**VISION, "model_type": "clip_vision_model"},
            image_token_index=5,
        )
    ),
}
BOMBS: dict[str, Any] = {
    "wide": {"intermediate_size": 1 << 23},
    "many words": {"vocab_size": 10_000_000},
    "more words than any": {"vocab_size": 50_000_000},
    "very many layers": {"num_hidden_layers": 10**9},
    "more layers than there are": {"num_hidden_layers": 15},
    "a picture": {"image_size": 1 << 17},
    "a picture of a part": {"vision_config": {"image_size": 1 << 17}},
    "negative": {"vocab_size": -(10**9)},
    "labels": {"num_labels": 10**7},
    "parts": {"text_config": {"num_hidden_layers": 10**6}},
    "experts": {
        "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe", "num_experts": 60,
        "moe_intermediate_size": 1 << 20, "shared_expert_intermediate_size": 64,
        "num_experts_per_tok": 1, "decoder_sparse_step": 1, "mlp_only_layers": [],
    },
    "experts beyond number": {
        "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe",
        "num_experts": 10**6, "num_experts_per_tok": 1,
    },
    "a head that is nowhere": {"tie_word_embeddings": False},
    "a bias that is nowhere": {"attention_bias": True},
    "another number of heads": {"num_key_value_heads": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    MODELS["tied"]().save_pretrained(folder)
    return folder


def altered(folder: Path, path: Path, change: dict[str, Any]) -> Path:
    path.mkdir()
    for file in folder.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **change}))
    return path


@pytest.mark.parametrize("name", MODELS)
def test_saved_model_is_loaded_with_its_parameters(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    model.save_pretrained(tmp_path)
    config = checked_config(tmp_path)
    for kind in (
        type(model),
        AutoModelForCausalLM if "CausalLM" in str(type(model)) else AutoModel,
    ):
        loaded = load_weights(kind, config, tmp_path, "auto")
        ours = dict(loaded.named_parameters())
        for parameter, value in model.named_parameters():
            if parameter in ours:
                assert torch.equal(ours[parameter], value)
    assert torch.nn.modules.module._global_parameter_registration_hooks == {}


@pytest.mark.parametrize("bomb", BOMBS)
def test_config_with_other_parameters_is_refused_without_allocation(
    bomb: str, llama: Path, tmp_path: Path
) -> None:
    folder = altered(llama, tmp_path / "bomb", BOMBS[bomb])
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for load in (lambda: load_base(folder, "cpu", "auto"), lambda: Runner.load(folder, "cpu")):
        with pytest.raises(GraftError, match=r"cannot be run by transformers: .*(config|has no)"):
            load()
    assert time.process_time() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


def test_check_numbers_accepts_usual_numbers() -> None:
    specs = {"w": TensorSpec("w", "F32", (128_256, 64))}
    check_numbers(
        {
            "rope_theta": 10**9, "max_position_embeddings": 10_485_760, "pad_token_id": -1,
            "layer_types": ["full_attention"], "rope": {"factor": 8, "original": 4096},
            "image_token_id": 128_256, "image_size": 4096,
            "eos_token_id": [128_001, 128_009], "num_hidden_layers": 1, "x": True, "y": None,
        },
        specs,
    )  # fmt: skip


def test_check_parameters_stops_a_model_with_endless_modules() -> None:
    def build() -> Any:
        parts = torch.nn.ModuleList()
        while True:
            parts.append(torch.nn.Identity())

    with pytest.raises(ValueError, match="modules"):
        check_parameters(build, {"w": TensorSpec("w", "F32", (4,))}, packed=False, complete=True)
    assert torch.nn.modules.module._global_module_registration_hooks == {}


def test_check_parameters_refuses_a_buffer_larger_than_the_model() -> None:
    def build() -> Any:
        model = torch.nn.Linear(2, 2)
        model.register_buffer("mask", torch.ones(2**20, 2**20, device="meta"))
        return model

    specs = {"weight": TensorSpec("weight", "F32", (2, 2)), "bias": TensorSpec("bias", "F32", (2,))}
    with pytest.raises(ValueError, match="elements"):
        check_parameters(build, specs, packed=False, complete=True)


def test_check_parameters_counts_several_weights_per_packed_byte() -> None:
    specs = {"weight": TensorSpec("weight", "U8", (1024, 512))}
    check_parameters(
        lambda: torch.nn.Linear(2048, 2048, bias=False), specs, packed=True, complete=True
    )
    with pytest.raises(ValueError, match="elements"):
        check_parameters(lambda: torch.nn.Linear(4096, 4096), specs, packed=True, complete=True)
