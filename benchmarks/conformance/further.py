"""Further architectures: fused layers, biases of heads, convolutions, buffers, speech."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers

from benchmarks.conformance.inputs import (
    BOTH,
    DECODER,
    ENCODER,
    IDS,
    PIXELS,
    TEXT,
    TOKENS,
    VISION,
    VOCABULARY,
    Architecture,
)

hf: Any = transformers
_PICTURE = {"pixel_values": torch.linspace(-1, 1, 3072).reshape(1, 3, 32, 32)}
_SOUND = {"input_values": torch.linspace(-1, 1, 800).reshape(1, 800)}
_SEQUENCES: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "decoder_start_token_id": 2, "forced_eos_token_id": None, **TOKENS,
}  # fmt: skip
_POSITIONS = {"max_position_embeddings": 64}
_EXPERTS: dict[str, Any] = {
    "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
    "n_shared_experts": 1, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8, "v_head_dim": 8, "first_k_dense_replace": 1, "n_group": 2,
    "topk_group": 1, "num_key_value_heads": 4,
}  # fmt: skip
_SPEECH: dict[str, Any] = {
    "vocab_size": 32, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "conv_dim": (16, 16), "conv_stride": (5, 2), "conv_kernel": (10, 3),
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 16, "mask_time_prob": 0.0,
    "num_conv_pos_embedding_groups": 2,
}  # fmt: skip


def _of(
    name: str, kind: str, inputs: dict[str, torch.Tensor], make: Callable[[], Any]
) -> Architecture:
    return Architecture(name, getattr(hf, kind), make, inputs)


def _decoders() -> list[Architecture]:
    def causal(name: str, stem: str, **keys: Any) -> Architecture:
        config = getattr(hf, f"{stem}Config")
        return _of(name, f"{stem}ForCausalLM", TEXT, lambda: config(**{**DECODER, **keys}))

    bloom = {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4, **TOKENS}
    rwkv = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2,
            "context_length": 64, "attention_hidden_size": 32, "intermediate_size": 64}  # fmt: skip
    return [
        causal("Phi", "Phi"),
        causal("Phi-3", "Phi3"),
        causal("Falcon", "Falcon", new_decoder_architecture=True, num_kv_heads=2),
        causal("Cohere", "Cohere"),
        causal("DeepSeek-V3", "DeepseekV3", **_EXPERTS),
        _of("Bloom", "BloomForCausalLM", TEXT, lambda: hf.BloomConfig(**bloom)),
        _of("RWKV", "RwkvForCausalLM", TEXT, lambda: hf.RwkvConfig(**rwkv)),
    ]


def _sequences() -> list[Architecture]:
    def both(name: str, kind: str, config: str, **keys: Any) -> Architecture:
        return _of(name, kind, BOTH, lambda: getattr(hf, config)(**{**_SEQUENCES, **keys}))

    led = {"max_encoder_position_embeddings": 64, "max_decoder_position_embeddings": 64}
    return [
        both("BART", "BartForConditionalGeneration", "BartConfig", **_POSITIONS),
        both("Marian", "MarianMTModel", "MarianConfig", **_POSITIONS),
        both("M2M100", "M2M100ForConditionalGeneration", "M2M100Config", **_POSITIONS),
        both("LED", "LEDForConditionalGeneration", "LEDConfig", attention_window=4, **led),
    ]


def _encoders() -> list[Architecture]:
    xlnet = {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}
    funnel = {"vocab_size": VOCABULARY, "d_model": 32, "d_head": 8, "n_head": 4, "d_inner": 64,
              "block_sizes": [1, 1], "num_decoder_layers": 1}  # fmt: skip
    small = {**ENCODER, "embedding_size": 16}
    return [
        _of("XLNet", "XLNetLMHeadModel", TEXT, lambda: hf.XLNetConfig(**xlnet)),
        _of("Funnel", "FunnelForMaskedLM", TEXT, lambda: hf.FunnelConfig(**funnel)),
        _of("ELECTRA", "ElectraForMaskedLM", TEXT, lambda: hf.ElectraConfig(**small)),
        _of(
            "RoBERTa, token labels", "RobertaForTokenClassification", TEXT,
            lambda: hf.RobertaConfig(**ENCODER, num_labels=3),
        ),
    ]  # fmt: skip


def _others() -> list[Architecture]:
    swin = {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1],
            "num_heads": [2, 4], "window_size": 4, "num_labels": 5}  # fmt: skip
    gemma = {"model_type": "gemma", **DECODER, "head_dim": 8}
    siglip = {"text_config": {**ENCODER, **TOKENS}, "vision_config": VISION}
    return [
        _of(
            "SigLIP", "SiglipModel", {**TEXT, "pixel_values": PIXELS},
            lambda: hf.SiglipConfig(**siglip),
        ),
        _of("Swin", "SwinForImageClassification", _PICTURE, lambda: hf.SwinConfig(**swin)),
        _of(
            "ResNet", "ResNetForImageClassification", _PICTURE,
            lambda: hf.ResNetConfig(
                embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=5
            ),
        ),
        _of("Wav2Vec2", "Wav2Vec2ForCTC", _SOUND, lambda: hf.Wav2Vec2Config(**_SPEECH)),
        _of(
            "PaliGemma", "PaliGemmaForConditionalGeneration", {"input_ids": IDS},
            lambda: hf.PaliGemmaConfig(
                text_config=gemma, vision_config={"model_type": "siglip_vision_model", **VISION},
                image_token_index=90, projection_dim=32, hidden_size=32,
            ),
        ),
    ]  # fmt: skip


FURTHER = (*_decoders(), *_sequences(), *_encoders(), *_others())
