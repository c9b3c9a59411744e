"""Which keys of a config an untrusted pack may change.

transformers reads the configs that a pack patches. A pack may change keys that the architecture's
config class declares. It may never change keys that choose code, kernels, quantisation, a
repository or the files to load, at any depth and regardless of its manifest. The rules follow
transformers 5.24; tests compare them with the installed version.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

from skillpm.errors import SpecError

CODE = "auto_map"
"""The only refused key that a patch may remove. The graft then runs the library's own code."""
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
"""Words in keys that choose kernels or quantisers. Numbers are shapes (`conv_kernel`)."""
_PLACES = frozenset({
    "hub", "repo", "repository", "revision", "commit", "url", "uri", "path", "paths", "file",
    "files", "filename", "folder", "dir", "directory", "checkpoint", "checkpoints", "pretrained",
    "weights", "adapter", "adapters", "module",
})  # fmt: skip
"""Words in keys whose text names a source to load from. Flags are safe (`scale_attn_weights`)."""
_CHOICE = "chooses code, kernels, quantisation or files to load"
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
"""Decoding settings of `generation_config.json`. Keys for compilation and the kind of cache are not
included: they choose kernels and quantisers."""
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
"""Tokenizer classes that read only the vocabulary of the folder, and use no other library."""
_TOKEN_ENDINGS = ("_token", "_token_id", "_tokens")


def refusal_of(key: str, value: Any) -> str | None:
    """Why no pack may set this key to this value, as a verb phrase; None if it is allowed."""
    if key == CODE and value is None:
        return None
    name = key.lower()
    words = frozenset(re.split(r"[^a-z0-9]+", name))
    switched = isinstance(value, bool) or _is_numeric(value)
    rules = (
        (name in _FIXED or name.endswith(_ENDINGS) or name.startswith("timm"), _CHOICE),
        (name.startswith("_") and not switched, "is private to the library"),
        (words & _SWITCHES and not _is_numeric(value), "may choose kernels or quantisation"),
        (words & _PLACES and not (value is None or switched), "may choose a repository or files"),
        (name.endswith("dtype") and not _is_dtype(value), "is not a dtype"),
        (name == "architectures" and not _are_classes(value), "is not a list of class names"),
    )
    return next((reason for holds, reason in rules if holds), None)


def check_config_patch(patch: dict[str, Any], keys: Collection[str], what: str) -> None:
    """Raise `SpecError` if a patch of `config.json` changes a key that no pack may change.

    `keys` are the keys that the architecture declares, such as `text_config.hidden_size`.
    """
    parts = {key[: at.start()] for key in keys for at in re.finditer(r"\.", key)}
    for declared, path, key, value in _changes(patch, parts):
        refuse_key(path, key, value, what)
        if declared not in keys and key != CODE:
            raise SpecError(
                f"{what} changes `{path}`, which the architecture does not declare",
                hint=f"remove `{key}` from the tuned model's config.json if it is not needed",
            )


def check_generation_patch(patch: dict[str, Any], what: str) -> None:
    """Raise `SpecError` if a patch of `generation_config.json` changes more than decoding."""
    for key, value in patch.items():
        if key not in GENERATION_KEYS:
            refuse_key(key, key, value, what)
            raise SpecError(f"{what} changes `{key}`, which is not a decoding setting")
        check_code(value, what)


def check_tokenizer_patch(patch: dict[str, Any], what: str) -> None:
    """Raise `SpecError` if a patch of `tokenizer_config.json` changes more than tokens."""
    for key, value in patch.items():
        if key == "tokenizer_class" and not (isinstance(value, str) and value in TOKENIZER_CLASSES):
            raise SpecError(
                f"{what} changes `{key}` to {str(value)[:80]!r}, which may load other files than "
                "the vocabulary"
            )
        if key == "processor_class" and not is_class_name(value, "Processor"):
            raise SpecError(
                f"{what} changes `{key}` to {str(value)[:80]!r}, which is not a processor class"
            )
        if key in TOKENIZER_KEYS or _is_token(key, value):
            check_code(value, what)
        elif key != CODE or value is not None:
            refuse_key(key, key, value, what)
            raise SpecError(f"{what} changes `{key}`, which is not a known tokenizer setting")


def check_special_tokens(content: Any, what: str) -> None:
    """Raise `SpecError` unless a `special_tokens_map.json` contains only tokens.

    transformers passes all its keys to the tokenizer class.
    """
    if not isinstance(content, dict):
        raise SpecError(f"{what} is not a JSON object")
    for key, value in content.items():
        known = key in ("additional_special_tokens", "extra_special_tokens")
        if not (known or _is_token(key, value)):
            raise SpecError(f"{what} has the key `{key}`, which is not a special token")
        check_code(value, what)


def check_settings(content: Any, what: str) -> None:
    """Raise `SpecError` if a settings file, such as a processor's, has a refused key."""
    for path, key, value in nested_keys(content, ""):
        if key.endswith(("_class", "_type")) and is_class_name(value, ""):
            continue
        refuse_key(path, key, value, what)


def check_code(content: Any, what: str) -> None:
    """Raise `SpecError` if `content` has the key `auto_map` at any depth: it loads code."""
    for path, key, value in nested_keys(content, ""):
        if key == CODE:
            refuse_key(path, key, value, what)


def refuse_key(path: str, key: str, value: Any, what: str) -> None:
    """Raise `SpecError` if no pack may set this key, at `path`, to this value."""
    reason = refusal_of(key, value)
    if reason is not None:
        raise SpecError(
            f"{what} changes `{path}`, which {reason}; a pack must not change it",
            hint=f"set `{key}` to the same value in the configs of base and tuned model, or remove "
            "it from both",
        )


def _changes(patch: dict[str, Any], parts: Collection[str]) -> Iterator[tuple[str, str, str, Any]]:
    """Every key that a patch changes, at any depth: (declared key, path, key, value).

    The first element is the key that the architecture must declare: the path itself, or the nearest
    enclosing key if the architecture does not declare keys below that.
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
    """Whether a value is a number or a list of numbers, such as a shape or a rate."""
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
    """Whether a value is null or a class name with this ending."""
    return value is None or (
        isinstance(value, str) and bool(_CLASS.fullmatch(value)) and value.endswith(ending)
    )


def _are_classes(value: Any) -> bool:
    if value is None:
        return True
    few = isinstance(value, list) and len(value) <= _CLASS_LIMIT
    return few and all(name is not None and is_class_name(name, "") for name in value)
