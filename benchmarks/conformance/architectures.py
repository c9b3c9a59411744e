"""The architectures of the list: tiny models of each class, with ties as released."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers

hf: Any = transformers
"""Its config classes take their fields as keywords, which their annotations do not say."""
VOCABULARY = 96
IDS = torch.tensor([[1, 5, 9, 22, 7, 3, 40, 11]])
PIXELS = torch.linspace(-1, 1, 768).reshape(1, 3, 16, 16)
MEL = torch.linspace(-1, 1, 320).reshape(1, 8, 40)
_TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_DECODER: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, **_TOKENS,
}  # fmt: skip
_ENCODER: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
_VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "image_size": 16, "patch_size": 8,
}  # fmt: skip
_T5: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2,
    "num_heads": 4, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
_MOE: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_TEXT = {"input_ids": IDS}
_BOTH = {"input_ids": IDS, "decoder_input_ids": IDS}


@dataclass(frozen=True)
class Architecture:
    """A class of transformers, a small config of it, and inputs that it takes."""

    name: str
    kind: Any
    config: Callable[[], Any]
    inputs: dict[str, torch.Tensor]

    def make(self, seed: int = 0) -> Any:
        """A fresh model; every parameter is moved a little, for some start at zero or one."""
        torch.manual_seed(seed)
        model = self.kind(self.config()).eval()
        return moved(model, seed + 7, 0.02)

    def load(self, folder: Any) -> Any:
        """The model in a folder, in the dtype that it has there."""
        return self.kind.from_pretrained(folder, dtype="auto").eval()

    def compute(self, model: Any) -> torch.Tensor:
        """The model's answer to the inputs."""
        with torch.no_grad():
            answer = model(**self.inputs)
        for name in ("logits", "logits_per_image", "last_hidden_state"):
            found = getattr(answer, name, None)
            if isinstance(found, torch.Tensor):
                return found
        raise ValueError(f"{self.name} answers with no logits")


def moved(model: Any, seed: int, scale: float) -> Any:
    """The model with noise added to every parameter, in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.add_(noise.to(parameter.dtype))
    return model


def _encoder_decoder() -> Any:
    encoder = hf.BertConfig(**{**_ENCODER, "num_hidden_layers": 1})
    decoder = hf.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=1, n_head=4, n_positions=64,
        add_cross_attention=True, is_decoder=True, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    config: Any = hf.EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id = 1, 0
    return config


def _whisper() -> Any:
    return hf.WhisperConfig(
        vocab_size=VOCABULARY, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64,
        decoder_ffn_dim=64, max_source_positions=20, max_target_positions=40, num_mel_bins=8,
        decoder_start_token_id=3, suppress_tokens=None, begin_suppress_tokens=None, **_TOKENS,
    )  # fmt: skip


def _qwen_vision(kind: Any, vision: dict[str, Any]) -> Any:
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    shared = {"num_heads": 4, "hidden_size": 32, "patch_size": 4, "in_channels": 3, "depth": 2}
    return kind(
        text_config={**_DECODER, "rope_parameters": rope}, vision_config={**shared, **vision},
        image_token_id=90, video_token_id=91, vision_start_token_id=92, vision_end_token_id=93,
    )  # fmt: skip


def _clip() -> Any:
    text = {**_ENCODER, "max_position_embeddings": 20, **_TOKENS}
    return hf.CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=32)


def _decoders() -> list[Architecture]:
    def causal(name: str, kind: Any, config: Any, **keys: Any) -> Architecture:
        return Architecture(name, kind, lambda: config(**{**_DECODER, **keys}), _TEXT)

    return [
        causal("Llama", hf.LlamaForCausalLM, hf.LlamaConfig),
        causal("Qwen2", hf.Qwen2ForCausalLM, hf.Qwen2Config, tie_word_embeddings=True),
        causal("Qwen3", hf.Qwen3ForCausalLM, hf.Qwen3Config, head_dim=8, tie_word_embeddings=True),
        causal("Qwen3-MoE", hf.Qwen3MoeForCausalLM, hf.Qwen3MoeConfig, head_dim=8, **_MOE),
        causal("Mixtral", hf.MixtralForCausalLM, hf.MixtralConfig, num_local_experts=4),
        causal(
            "gpt-oss", hf.GptOssForCausalLM, hf.GptOssConfig, num_local_experts=4, head_dim=8,
            intermediate_size=32, num_experts_per_tok=2,
        ),
        causal("Gemma 3", hf.Gemma3ForCausalLM, hf.Gemma3TextConfig, head_dim=8, sliding_window=16),
    ]  # fmt: skip


def _older() -> list[Architecture]:
    gpt2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    neox = {key: _DECODER[key] for key in _ENCODER if key in _DECODER}
    opt = {**neox, "ffn_dim": 64, "word_embed_proj_dim": 32}
    mamba = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
    mamba2 = {**mamba, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8}
    return [
        Architecture("GPT-2", hf.GPT2LMHeadModel, lambda: hf.GPT2Config(**gpt2), _TEXT),
        Architecture("GPT-NeoX", hf.GPTNeoXForCausalLM, lambda: hf.GPTNeoXConfig(**neox), _TEXT),
        Architecture("OPT", hf.OPTForCausalLM, lambda: hf.OPTConfig(**opt), _TEXT),
        Architecture("Mamba", hf.MambaForCausalLM, lambda: hf.MambaConfig(**mamba), _TEXT),
        Architecture("Mamba2", hf.Mamba2ForCausalLM, lambda: hf.Mamba2Config(**mamba2), _TEXT),
        Architecture("T5", hf.T5ForConditionalGeneration, lambda: hf.T5Config(**_T5), _BOTH),
        Architecture(
            "UMT5", hf.UMT5ForConditionalGeneration,
            lambda: hf.UMT5Config(**_T5, tie_word_embeddings=False), _BOTH,
        ),
    ]  # fmt: skip


def _encoders() -> list[Architecture]:
    distil = {"vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64,
              "max_position_embeddings": 64}  # fmt: skip
    modern = {**_ENCODER, **_TOKENS, "cls_token_id": 1, "sep_token_id": 2}
    return [
        Architecture("BERT", hf.BertForMaskedLM, lambda: hf.BertConfig(**_ENCODER), _TEXT),
        Architecture("RoBERTa", hf.RobertaForMaskedLM, lambda: hf.RobertaConfig(**_ENCODER), _TEXT),
        Architecture(
            "DeBERTa-v2", hf.DebertaV2ForMaskedLM, lambda: hf.DebertaV2Config(**_ENCODER), _TEXT
        ),
        Architecture(
            "ModernBERT", hf.ModernBertForMaskedLM, lambda: hf.ModernBertConfig(**modern), _TEXT
        ),
        Architecture(
            "DistilBERT", hf.DistilBertForMaskedLM, lambda: hf.DistilBertConfig(**distil), _TEXT
        ),
    ]


def _others() -> list[Architecture]:
    vision = {"embed_dim": 32, "mlp_ratio": 2}
    newer = {"out_hidden_size": 32, "intermediate_size": 64, "fullatt_block_indexes": [1]}
    speech = {"input_features": MEL, "decoder_input_ids": IDS}
    return [
        Architecture("Whisper", hf.WhisperForConditionalGeneration, _whisper, speech),
        Architecture(
            "ViT", hf.ViTForImageClassification,
            lambda: hf.ViTConfig(**_VISION, num_labels=5), {"pixel_values": PIXELS},
        ),
        Architecture("CLIP", hf.CLIPModel, _clip, {**_TEXT, "pixel_values": PIXELS}),
        Architecture(
            "Llava", hf.LlavaForConditionalGeneration,
            lambda: hf.LlavaConfig(
                text_config=hf.LlamaConfig(**_DECODER), image_token_index=90,
                vision_config=hf.CLIPVisionConfig(**_VISION),
            ), _TEXT,
        ),
        Architecture(
            "Qwen2-VL", hf.Qwen2VLForConditionalGeneration,
            lambda: _qwen_vision(hf.Qwen2VLConfig, vision), _TEXT,
        ),
        Architecture(
            "Qwen2.5-VL", hf.Qwen2_5_VLForConditionalGeneration,
            lambda: _qwen_vision(hf.Qwen2_5_VLConfig, newer), _TEXT,
        ),
        Architecture("BERT + GPT-2", hf.EncoderDecoderModel, _encoder_decoder, _BOTH),
    ]  # fmt: skip


ARCHITECTURES = {each.name: each for each in (*_decoders(), *_older(), *_encoders(), *_others())}
