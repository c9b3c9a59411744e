"""Tiny models of the list's architectures, with tied weights as in the released models."""

from __future__ import annotations

from typing import Any

import transformers

from benchmarks.conformance.further import FURTHER
from benchmarks.conformance.inputs import (
    BOTH,
    DECODER,
    ENCODER,
    IDS,
    MEL,
    PIXELS,
    TEXT,
    TOKENS,
    VISION,
    VOCABULARY,
    Architecture,
    moved,
)

__all__ = ["ARCHITECTURES", "IDS", "Architecture", "moved"]
hf: Any = transformers
"""Config classes of transformers take their fields as keywords that annotations do not show."""
_T5: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2,
    "num_heads": 4, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
_MOE: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}


def _encoder_decoder() -> Any:
    encoder = hf.BertConfig(**{**ENCODER, "num_hidden_layers": 1})
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
        decoder_start_token_id=3, suppress_tokens=None, begin_suppress_tokens=None, **TOKENS,
    )  # fmt: skip


def _qwen_vision(kind: Any, vision: dict[str, Any]) -> Any:
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    shared = {"num_heads": 4, "hidden_size": 32, "patch_size": 4, "in_channels": 3, "depth": 2}
    return kind(
        text_config={**DECODER, "rope_parameters": rope}, vision_config={**shared, **vision},
        image_token_id=90, video_token_id=91, vision_start_token_id=92, vision_end_token_id=93,
    )  # fmt: skip


def _clip() -> Any:
    text = {**ENCODER, "max_position_embeddings": 20, **TOKENS}
    return hf.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=32)


def _decoders() -> list[Architecture]:
    def causal(name: str, kind: Any, config: Any, **keys: Any) -> Architecture:
        return Architecture(name, kind, lambda: config(**{**DECODER, **keys}), TEXT)

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
    neox = {key: DECODER[key] for key in ENCODER if key in DECODER}
    opt = {**neox, "ffn_dim": 64, "word_embed_proj_dim": 32}
    mamba = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
    mamba2 = {**mamba, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8}
    return [
        Architecture("GPT-2", hf.GPT2LMHeadModel, lambda: hf.GPT2Config(**gpt2), TEXT),
        Architecture("GPT-NeoX", hf.GPTNeoXForCausalLM, lambda: hf.GPTNeoXConfig(**neox), TEXT),
        Architecture("OPT", hf.OPTForCausalLM, lambda: hf.OPTConfig(**opt), TEXT),
        Architecture("Mamba", hf.MambaForCausalLM, lambda: hf.MambaConfig(**mamba), TEXT),
        Architecture("Mamba2", hf.Mamba2ForCausalLM, lambda: hf.Mamba2Config(**mamba2), TEXT),
        Architecture("T5", hf.T5ForConditionalGeneration, lambda: hf.T5Config(**_T5), BOTH),
        Architecture(
            "UMT5", hf.UMT5ForConditionalGeneration,
            lambda: hf.UMT5Config(**_T5, tie_word_embeddings=False), BOTH,
        ),
    ]  # fmt: skip


def _encoders() -> list[Architecture]:
    distil = {"vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64,
              "max_position_embeddings": 64}  # fmt: skip
    modern = {**ENCODER, **TOKENS, "cls_token_id": 1, "sep_token_id": 2}
    return [
        Architecture("BERT", hf.BertForMaskedLM, lambda: hf.BertConfig(**ENCODER), TEXT),
        Architecture("RoBERTa", hf.RobertaForMaskedLM, lambda: hf.RobertaConfig(**ENCODER), TEXT),
        Architecture(
            "DeBERTa-v2", hf.DebertaV2ForMaskedLM, lambda: hf.DebertaV2Config(**ENCODER), TEXT
        ),
        Architecture(
            "ModernBERT", hf.ModernBertForMaskedLM, lambda: hf.ModernBertConfig(**modern), TEXT
        ),
        Architecture(
            "DistilBERT", hf.DistilBertForMaskedLM, lambda: hf.DistilBertConfig(**distil), TEXT
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
            lambda: hf.ViTConfig(**VISION, num_labels=5), {"pixel_values": PIXELS},
        ),
        Architecture("CLIP", hf.CLIPModel, _clip, {**TEXT, "pixel_values": PIXELS}),
        Architecture(
            "Llava", hf.LlavaForConditionalGeneration,
            lambda: hf.LlavaConfig(
                text_config=hf.LlamaConfig(**DECODER), image_token_index=90,
                vision_config=hf.CLIPVisionConfig(**VISION),
            ), TEXT,
        ),
        Architecture(
            "Qwen2-VL", hf.Qwen2VLForConditionalGeneration,
            lambda: _qwen_vision(hf.Qwen2VLConfig, vision), TEXT,
        ),
        Architecture(
            "Qwen2.5-VL", hf.Qwen2_5_VLForConditionalGeneration,
            lambda: _qwen_vision(hf.Qwen2_5_VLConfig, newer), TEXT,
        ),
        Architecture("BERT + GPT-2", hf.EncoderDecoderModel, _encoder_decoder, BOTH),
    ]  # fmt: skip


_FIRST = (*_decoders(), *_older(), *_encoders(), *_others())
ARCHITECTURES = {each.name: each for each in (*_FIRST, *FURTHER)}
