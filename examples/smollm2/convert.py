"""Convert the packaged GGUF to a model folder that transformers loads, tensor by tensor."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, PreTrainedTokenizerFast

from examples.errors import DemoError
from examples.smollm2.gguf_source import GgufLlama, packaged_gguf
from skillpm.checkpoint.write import write_shard
from skillpm.spec.merkle import merkle_root

if TYPE_CHECKING:
    from pathlib import Path

ROOT = "sha256:2ceacc1496bf2407828de717b49e2b4e8bca50b6b185c413a544bba1b36d782a"
"""The root of the conversion, found by two independent implementations."""
WEIGHTS = "model.safetensors"
UNFINISHED = ".unfinished"
CONTROL = 3
"""GGUF's type of control tokens, such as `<|im_end|>`."""
MODE = 0o644


def convert(out: Path) -> Path:
    """Write the packaged model as the folder OUT; takes a few processor seconds.

    Raises `DemoError` if the package is missing, and as `convert_gguf` does.
    """
    _check_absent(out)
    return convert_gguf(GgufLlama(packaged_gguf()), out, root=ROOT)


def _check_absent(out: Path) -> None:
    if out.exists():
        message = f"`{out}` already exists"
        raise DemoError(message)


def convert_gguf(source: GgufLlama, out: Path, *, root: str) -> Path:
    """Write the model folder OUT: weights in bf16, config, tokenizer, generation config.

    The head is tied to the embedding and not stored. Needs memory for a few thousand rows. OUT
    appears complete or not at all. Raises `DemoError` if OUT exists or the weights have another
    root.
    """
    _check_absent(out)
    unfinished = out.with_name(out.name + UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    found = _write_weights(source, unfinished / WEIGHTS)
    if found != root:
        shutil.rmtree(unfinished)
        message = f"the conversion has root `{found}`, expected `{root}`"
        raise DemoError(message)
    _config(source).save_pretrained(unfinished)
    _generation_config(source).save_pretrained(unfinished)
    _tokenizer(source).save_pretrained(unfinished)
    for file in unfinished.iterdir():  # transformers writes some files readable by the owner only
        file.chmod(MODE)
    unfinished.rename(out)
    return out


def _write_weights(source: GgufLlama, path: Path) -> str:
    """Write all tensors, one after the other; return their root."""
    with ThreadPoolExecutor(1) as pool:
        leaves = write_shard(
            path,
            source.specs(),
            source.chunks,
            metadata={"format": "pt"},
            pool=pool,
            advance=lambda _bytes: None,
        )
    return str(merkle_root(leaves))


def _config(source: GgufLlama) -> Any:
    settings: dict[str, Any] = {
        "vocab_size": source.setting("llama.vocab_size"),
        "hidden_size": source.setting("llama.embedding_length"),
        "intermediate_size": source.setting("llama.feed_forward_length"),
        "num_hidden_layers": source.setting("llama.block_count"),
        "num_attention_heads": source.setting("llama.attention.head_count"),
        "num_key_value_heads": source.setting("llama.attention.head_count_kv"),
        "max_position_embeddings": source.setting("llama.context_length"),
        # GGUF stores float32: 1e-5 reads as 9.999999747378752e-06.
        "rms_norm_eps": float(f"{source.setting('llama.attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": source.setting("llama.rope.freq_base"),
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
        **_special(source),
    }
    config: Any = LlamaConfig(**settings)
    config.architectures = ["LlamaForCausalLM"]
    return config


def _generation_config(source: GgufLlama) -> Any:
    return GenerationConfig(**_special(source))


def _special(source: GgufLlama) -> dict[str, int]:
    return {
        "bos_token_id": source.setting("tokenizer.ggml.bos_token_id"),
        "eos_token_id": source.setting("tokenizer.ggml.eos_token_id"),
        "pad_token_id": source.setting("tokenizer.ggml.padding_token_id"),
    }


def _tokenizer(source: GgufLlama) -> Any:
    """The byte-level BPE of the file with its chat template; each digit is a token."""
    tokens: list[str] = source.setting("tokenizer.ggml.tokens")
    merges = [tuple(pair.split(" ")) for pair in source.setting("tokenizer.ggml.merges")]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = source.setting("tokenizer.ggml.token_type")
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in control])
    named = {name: tokens[number] for name, number in _special(source).items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=named["bos_token_id"],
        eos_token=named["eos_token_id"],
        pad_token=named["pad_token_id"],
        unk_token=tokens[source.setting("tokenizer.ggml.unknown_token_id")],
        chat_template=source.setting("tokenizer.chat_template"),
        model_max_length=source.setting("llama.context_length"),
        clean_up_tokenization_spaces=False,
    )
