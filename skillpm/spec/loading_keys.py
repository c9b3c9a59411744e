"""Keys of strangers' configs: which may change, and which choose code, kernels or files.

A merge patch of a pack becomes part of what transformers reads. It may change what the
architecture's config class declares, and never what chooses the code, the kernels, the quantiser,
the repository or the files that are loaded: these refusals hold whatever a manifest claims, at any
depth. The rules were read off transformers 5.24; tests compare them with the installed version.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

from skillpm.errors import SpecError

CODE = "auto_map"
"""The one refused key that a patch may remove: a graft then runs the library's own code."""
_FIXED = frozenset({
    CODE, "custom_pipelines", "custom_generate", "trust_remote_code", "code_revision",
    "transformers_weights", "configuration_files", "fast_tokenizer_files", "extra_files",
    "extra_config_files", "gguf_file", "subfolder", "cache_dir", "local_files_only",
    "name_or_path", "_name_or_path", "_auto_class", "_commit_hash", "quantization_config",
    "compression_config", "quantization", "quant_method",
    "load_in_8bit", "load_in_4bit", "is_quantized", "fusion_config", "distributed_config",
    "device_map", "per_layer_config", "compile_config", "continuous_batching_config",
    "cache_implementation", "cache_config", "backbone", "backbone_kwargs", "use_timm_backbone",
    "use_pretrained_backbone", "torchscript", "init_inputs", "sp_model_kwargs", "mecab_kwargs",
    "sudachi_kwargs", "jumanpp_kwargs", "model_type", "sub_configs", "sub_configs_defaults",
    "attribute_map", "base_config_key", "keys_to_ignore_at_inference", "peft_type",
    "adapter_name", "tokenizer_class", "processor_class", "use_auth_token",
})  # fmt: skip
_ENDINGS = ("mambapy", "_implementation", "_impl", "_implementation_internal", "_plan", "_repo_id")
_SWITCHES = frozenset({
    "kernel", "kernels", "triton", "flash", "flashattention", "xformers", "sdpa", "deepspeed",
    "quant", "quantize", "quantized", "quantizer", "quantization", "bnb", "gptq", "awq", "gguf",
    "backend", "compile", "implementation", "impl", "plugin", "import",
})  # fmt: skip
"""Words of keys that switch kernels or quantisers; as numbers they are shapes (`conv_kernel`)."""
_PLACES = frozenset({
    "hub", "repo", "repository", "revision", "commit", "url", "uri", "path", "paths", "file",
    "files", "filename", "folder", "dir", "directory", "checkpoint", "checkpoints", "pretrained",
    "weights", "adapter", "adapters", "module",
})  # fmt: skip
"""Words of keys whose text is where something is loaded from (`scale_attn_weights` is a flag)."""
_CHOICE = "chooses code, kernels, quantisation or the files that are loaded"
_CLASS_LIMIT = 16
_DTYPES = frozenset({"auto", "float16", "bfloat16", "float32", "float64"})
_LABELS = frozenset({"label2id", "id2label"})
_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}", re.ASCII)

GENERATION_KEYS = frozenset({
    "assistant_confidence_threshold", "assistant_early_exit", "assistant_ensemble_weight",
    "assistant_lookbehind", "bad_words_ids", "begin_suppress_tokens", "bos_token_id",
    "constraints", "decoder_start_token_id", "diversity_penalty", "do_sample", "dola_layers",
    "early_stopping", "encoder_no_repeat_ngram_size", "encoder_repetition_penalty",
    "eos_token_id", "epsilon_cutoff", "eta_cutoff", "exponential_decay_length_penalty",
    "force_words_ids", "forced_bos_token_id", "forced_decoder_ids", "forced_eos_token_id",
    "guidance_scale", "is_assistant", "is_multilingual", "lang_to_id", "language",
    "length_penalty", "low_memory", "max_cache_len", "max_initial_timestamp_index", "max_length",
    "max_matching_ngram_size", "max_new_tokens", "max_time", "median_filter_width", "min_length",
    "min_new_tokens", "min_p", "no_repeat_ngram_size", "no_timestamps_token_id",
    "num_assistant_tokens", "num_assistant_tokens_schedule", "num_beam_groups", "num_beams",
    "num_return_sequences", "output_attentions", "output_hidden_states", "output_logits",
    "output_scores", "pad_token_id", "penalty_alpha", "prefill_chunk_size", "prev_sot_token_id",
    "prompt_lookup_num_tokens", "remove_invalid_values", "renormalize_logits",
    "repetition_penalty", "return_dict_in_generate", "return_timestamps", "sequence_bias",
    "stop_strings", "suppress_tokens", "target_lookbehind", "task", "task_to_id", "temperature",
    "token_healing", "top_h", "top_k", "top_p", "typical_p", "use_cache", "alignment_heads",
    "watermarking_config",
})  # fmt: skip
"""Of `generation_config.json`: settings of decoding. Compilation and the kind of cache choose
kernels and quantisers, so they are none of them."""
TOKENIZER_KEYS = frozenset({
    "add_bos_token", "add_eos_token", "add_prefix_space", "added_tokens_decoder",
    "additional_special_tokens", "backend", "chat_control_tokens", "chat_template",
    "clean_up_tokenization_spaces", "do_basic_tokenize", "do_lower_case", "do_split_on_punc",
    "errors", "extra_ids", "extra_special_tokens", "from_slow", "keep_accents", "language",
    "legacy", "max_len", "max_length", "model_input_names", "model_max_length",
    "model_specific_special_tokens", "never_split", "normalize", "pad_to_multiple_of",
    "pad_token_box", "cls_token_box", "sep_token_box", "pad_token_label",
    "only_label_first_subword", "pad_token_type_id", "padding_side", "predict_timestamps",
    "processor_class", "remove_space", "response_schema", "response_template",
    "separate_vocabs", "source_lang", "spaces_between_special_tokens", "split_by_punct",
    "split_special_tokens", "src_lang", "stride", "strip_accents", "target_lang", "task",
    "tgt_lang", "tokenize_chinese_chars", "tokenizer_class", "trim_offsets",
    "truncation_side", "truncation_strategy", "unk_id", "use_default_system_prompt",
    "vocab_type",
})  # fmt: skip
TOKENIZER_CLASSES = frozenset(
    f"{name}{fast}"
    for name in (
        "BartTokenizer", "BertTokenizer", "BloomTokenizer", "CLIPTokenizer", "CodeLlamaTokenizer",
        "CohereTokenizer", "DebertaTokenizer", "DebertaV2Tokenizer", "DistilBertTokenizer",
        "ElectraTokenizer", "GPT2Tokenizer", "GPTNeoXTokenizer", "GemmaTokenizer",
        "LlamaTokenizer", "MPNetTokenizer", "MarianTokenizer", "MBartTokenizer",
        "NllbTokenizer", "PreTrainedTokenizer", "Qwen2Tokenizer", "RobertaTokenizer",
        "T5Tokenizer", "WhisperTokenizer", "XLMRobertaTokenizer",
    )
    for fast in ("", "Fast")
) | {"TokenizersBackend"}  # fmt: skip
"""Classes that read the folder's vocabulary and nothing else: no dictionary, no other library."""
_TOKEN_ENDINGS = ("_token", "_token_id", "_tokens")


def refusal_of(key: str, value: Any) -> str | None:
    """Why no pack may set this key to this value, whatever its manifest claims; None if it may."""
    if key == CODE and value is None:
        return None
    name = key.lower()
    words = frozenset(re.split(r"[^a-z0-9]+", name))
    switched = isinstance(value, bool) or _is_numeric(value)
    rules = (
        (name in _FIXED or name.endswith(_ENDINGS) or name.startswith("timm"), _CHOICE),
        (name.startswith("_") and not switched, "is the library's own"),
        (words & _SWITCHES and not _is_numeric(value), "may choose kernels or quantisation"),
        (words & _PLACES and not (value is None or switched), "may choose a repository or files"),
        (name.endswith("dtype") and not _is_dtype(value), "is no dtype of numbers"),
        (name == "architectures" and not _are_classes(value), "is no list of class names"),
    )
    return next((reason for holds, reason in rules if holds), None)


def check_config_patch(patch: dict[str, Any], keys: Collection[str], what: str) -> None:
    """Raise `SpecError` where a patch of `config.json` changes a key that it may not.

    `keys` are those that the architecture declares, with dots for keys of a part.
    """
    parts = {key[: at.start()] for key in keys for at in re.finditer(r"\.", key)}
    for declared, path, key, value in _changes(patch, parts):
        refuse_key(path, key, value, what)
        if declared not in keys and key != CODE:
            raise SpecError(
                f"{what} changes `{path}`, which the architecture does not declare",
                hint=f"remove `{key}` from the tuned model's folder, if it is not needed there",
            )


def check_generation_patch(patch: dict[str, Any], what: str) -> None:
    """Raise `SpecError` where a patch of `generation_config.json` changes more than decoding."""
    for key, value in patch.items():
        if key not in GENERATION_KEYS:
            refuse_key(key, key, value, what)
            raise SpecError(f"{what} changes `{key}`, which is no setting of decoding")
        check_code(value, what)


def check_tokenizer_patch(patch: dict[str, Any], what: str) -> None:
    """Raise `SpecError` where a patch of `tokenizer_config.json` changes more than tokens."""
    for key, value in patch.items():
        if key == "tokenizer_class" and not (isinstance(value, str) and value in TOKENIZER_CLASSES):
            raise SpecError(
                f"{what} changes `{key}` to {str(value)[:80]!r}, which may load more than the "
                "folder's vocabulary"
            )
        if key == "processor_class" and not is_class_name(value, "Processor"):
            raise SpecError(f"{what} changes `{key}` to {str(value)[:80]!r}, which is no processor")
        if key in TOKENIZER_KEYS or _is_token(key, value):
            check_code(value, what)
        elif key != CODE or value is not None:
            refuse_key(key, key, value, what)
            raise SpecError(f"{what} changes `{key}`, which is no known setting of a tokenizer")


def check_special_tokens(content: Any, what: str) -> None:
    """Raise `SpecError` unless a `special_tokens_map.json` holds tokens only.

    transformers passes every key of it on to the tokenizer's class.
    """
    if not isinstance(content, dict):
        raise SpecError(f"{what} is not a JSON object")
    for key, value in content.items():
        known = key in ("additional_special_tokens", "extra_special_tokens")
        if not (known or _is_token(key, value)):
            raise SpecError(f"{what} holds `{key}`, which is no special token")
        check_code(value, what)


def check_settings(content: Any, what: str) -> None:
    """Raise `SpecError` where a file of settings, a processor's say, holds a refused key."""
    for path, key, value in nested_keys(content, ""):
        if key.endswith(("_class", "_type")) and is_class_name(value, ""):
            continue
        refuse_key(path, key, value, what)


def check_code(content: Any, what: str) -> None:
    """Raise `SpecError` where `auto_map` stands anywhere in it: a graft never brings code."""
    for path, key, value in nested_keys(content, ""):
        if key == CODE:
            refuse_key(path, key, value, what)


def refuse_key(path: str, key: str, value: Any, what: str) -> None:
    """Raise `SpecError` where no pack may set this key to this value; `path` is where it stands."""
    reason = refusal_of(key, value)
    if reason is not None:
        raise SpecError(
            f"{what} changes `{path}`, which {reason}: no pack may change that",
            hint=f"give base and tuned model the same `{key}`, or none",
        )


def _changes(patch: dict[str, Any], parts: Collection[str]) -> Iterator[tuple[str, str, str, Any]]:
    """Every key that a patch changes, at any depth: (what must declare it, path, key, value).

    What lies below a key that is no part with keys of its own is declared by that key.
    """
    stack: list[tuple[str, dict[str, Any]]] = [("", patch)]
    while stack:
        prefix, table = stack.pop()
        for key, value in table.items():
            path = f"{prefix}{key}"
            if path in parts and isinstance(value, dict):
                stack.append((f"{path}.", value))
                continue
            yield path, path, key, value
            if key not in _LABELS or not _is_flat(value):
                yield from ((path, *below) for below in nested_keys(value, path))


def nested_keys(content: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Every key at any depth, with its path."""
    stack = [(path, content)]
    while stack:
        at, value = stack.pop()
        if isinstance(value, dict):
            for key, below in value.items():
                yield f"{at}.{key}" if at else key, key, below
                stack.append((f"{at}.{key}" if at else key, below))
        elif isinstance(value, list):
            stack.extend((at, below) for below in value)


def _is_token(key: str, value: Any) -> bool:
    return key.endswith(_TOKEN_ENDINGS) and refusal_of(key, value) is None


def _is_numeric(value: Any) -> bool:
    """Whether a value is a number, or numbers: a shape or a rate, no name and no switch."""
    if isinstance(value, list):
        return all(map(_is_numeric, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_flat(value: Any) -> bool:
    return isinstance(value, dict) and not any(
        isinstance(below, dict | list) for below in value.values()
    )


def _is_dtype(value: Any) -> bool:
    return value is None or _is_numeric(value) or str(value).removeprefix("torch.") in _DTYPES


def is_class_name(value: Any, ending: str) -> bool:
    """Whether a value is the name of a class with that ending, or null."""
    return value is None or (
        isinstance(value, str) and bool(_CLASS.fullmatch(value)) and value.endswith(ending)
    )


def _are_classes(value: Any) -> bool:
    if value is None:
        return True
    few = isinstance(value, list) and len(value) <= _CLASS_LIMIT
    return few and all(name is not None and is_class_name(name, "") for name in value)
