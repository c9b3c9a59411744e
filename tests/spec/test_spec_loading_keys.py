"""Which config keys a pack may change, and which it may never change."""

from typing import Any

import pytest

from skillpm.errors import SpecError
from skillpm.spec.loading_keys import (
    GENERATION_KEYS,
    check_config_patch,
    refusal_of,
)
from skillpm.spec.sidefiles import check_content

CHOOSES = {
    "auto_map": {"AutoModel": "evil--Model"},
    "transformers_weights": "model-00001-of-00002.safetensors",
    "configuration_files": ["config.4.0.0.json"],
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True},
    "compression_config": {},
    "attn_implementation": "kernels-community/flash-attn",
    "_attn_implementation": "flash_attention_2",
    "_attn_implementation_internal": "evil/kernel:run",
    "experts_implementation": "grouped_mm",
    "mlp_implementation": "x",
    "attn_impl": "triton",
    "use_kernels": True,
    "kernel_config": {"RMSNorm": "evil/kernels:Norm"},
    "allow_all_kernels": True,
    "sequence_kernel": "native",
    "use_mamba_kernels": False,
    "use_mambapy": True,
    "deterministic_flash_attn": True,
    "custom_pipelines": {"text": {"impl": "run.Pipeline"}},
    "trust_remote_code": True,
    "name_or_path": "evil/model",
    "_name_or_path": "evil/model",
    "hub_repo": "evil/model",
    "vision_repo_id": "evil/model",
    "revision": "refs/pr/1",
    "backbone": "evil/resnet",
    "use_timm_backbone": True,
    "timm_model": "resnet50.evil",
    "use_pretrained_backbone": True,
    "index_path": "/etc/passwd",
    "gguf_file": "x.gguf",
    "fusion_config": {},
    "distributed_config": {},
    "base_model_tp_plan": {"layers": "colwise"},
    "device_map": "auto",
    "per_layer_config": {"0": {"hidden_size": 1}},
    "model_type": "qwen2_moe",
    "tokenizer_class": "BertJapaneseTokenizer",
    "attribute_map": {"hidden_size": "transformers_weights"},
    "sub_configs": {},
    "dtype": "load",
    "torch_dtype": "float8_e4m3fn",
    "text_dtype": "__name__",
    "architectures": ["os.system"],
    "adapter_path": "x",
    "Transformers_Weights": "x.safetensors",
    "QUANTIZATION_CONFIG": None,
}
"""Keys that choose what is loaded or run, each with a hostile value."""
PLAIN = {
    "hidden_size": 64, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    "architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "file", "1": "kernel"},
    "label2id": {"file": 0, "kernel": 1, "revision": 2}, "conv_kernel": [10, 3], "vocab_size": 5,
    "scale_attn_weights": True, "dtype": "bfloat16", "torch_dtype": None, "eos_token_id": [1, 2],
    "problem_type": "regression", "kernel_size": 4, "layer_types": ["full_attention"],
    "drop_path_rate": 0.1, "quantization_dim": 4, "tie_word_embeddings": False,
}  # fmt: skip


@pytest.mark.parametrize("key", CHOOSES)
def test_key_that_chooses_what_is_loaded_is_refused_even_if_declared(key: str) -> None:
    claimed = {key, "text_config", f"text_config.{key}", "rope_parameters", "task_specific_params"}
    value = CHOOSES[key]
    for patch in (
        {key: value},
        {"text_config": {key: value}},
        {"rope_parameters": {"full_attention": [{"deep": {key: value}}]}},
        {"task_specific_params": [[{key: value}]]},
    ):
        with pytest.raises(SpecError, match=f"`[^`]*{key}`") as caught:
            check_config_patch(patch, claimed, "side file `config.json`")
        assert caught.value.hint


@pytest.mark.parametrize("key", PLAIN)
def test_data_key_is_accepted_only_if_declared(key: str) -> None:
    check_config_patch({key: PLAIN[key]}, {key}, "it")
    check_config_patch({"text_config": {key: PLAIN[key]}}, {f"text_config.{key}"}, "it")
    for patch, keys in (
        ({key: PLAIN[key]}, {"other"}),
        ({"text_config": {key: PLAIN[key]}}, {key, "text_config.other"}),
        ({key: PLAIN[key]}, {f"text_config.{key}"}),
    ):
        with pytest.raises(SpecError, match="which the architecture does not declare"):
            check_config_patch(patch, keys, "it")


def test_nested_labels_are_checked() -> None:
    with pytest.raises(SpecError, match="auto_map"):
        check_config_patch({"label2id": {"a": {"auto_map": "x"}}}, {"label2id"}, "it")


def test_nested_config_is_checked_key_by_key() -> None:
    keys = {"hidden_size", "text_config.hidden_size", "text_config.rope.kind"}
    check_config_patch({"text_config": {"rope": {"kind": "x"}}}, keys, "it")
    patches: tuple[dict[str, Any], ...] = (
        {"text_config": None},
        {"text_config": []},
        {"text_config": [{"hidden_size": 1}]},
        {"text_config": {"rope": None}},
        {"text_config": {"model_type": "llama"}},
        {"vision_config": {"hidden_size": 1}},
    )
    for patch in patches:
        with pytest.raises(SpecError):
            check_config_patch(patch, keys, "it")


def test_patch_may_remove_auto_map() -> None:
    for name in ("config.json", "tokenizer_config.json"):
        check_content(name, {"auto_map": None}, keys=(), patch=True)
    with pytest.raises(SpecError, match="auto_map"):
        check_content("config.json", {"auto_map": {}}, keys=("auto_map",), patch=True)


@pytest.mark.parametrize("key", ["transformers_weights", "quantization_config", "hidden_size"])
def test_patch_does_not_remove_other_undeclared_keys(key: str) -> None:
    with pytest.raises(SpecError, match=key):
        check_content("config.json", {key: None}, keys=(), patch=True)


@pytest.mark.parametrize("patch", [
    {"custom_generate": "evil/generate"}, {"compile_config": {"backend": "evil"}},
    {"cache_implementation": "quantized"}, {"cache_config": {"backend": "quanto"}},
    {"continuous_batching_config": {}}, {"trust_remote_code": True}, {"auto_map": {}},
    {"assistant_model": "evil/model"}, {"_from_model_config": True}, {"new_key": 1},
    {"sequence_bias": [{"auto_map": "x"}]}, {"transformers_weights": "x"},
])  # fmt: skip
def test_generation_config_patch_changes_only_decoding(patch: dict[str, Any]) -> None:
    check_content(
        "generation_config.json", {"top_k": 5, "stop_strings": ["a"]}, keys=(), patch=True
    )
    with pytest.raises(SpecError) as caught:
        check_content("generation_config.json", patch, keys=set(patch), patch=True)
    assert f"`{next(iter(patch))}" in caught.value.message or "auto_map" in caught.value.message


@pytest.mark.parametrize("patch", [
    {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}}, {"tokenizer_file": "/etc/passwd"},
    {"vocab_file": "../x"}, {"merges_file": "x"}, {"fast_tokenizer_files": ["tokenizer.9.json"]},
    {"gguf_file": "x.gguf"}, {"init_inputs": ["/etc/passwd"]}, {"mecab_kwargs": {"mecab_dic": "x"}},
    {"sp_model_kwargs": {"model_file": "/etc/passwd"}}, {"tokenizer_class": "RagTokenizer"},
    {"tokenizer_class": "Evil"}, {"tokenizer_class": ["GPT2Tokenizer", None]},
    {"processor_class": "evil.Processor"}, {"processor_class": "Evil"}, {"name_or_path": "evil/m"},
    {"use_auth_token": "x"}, {"special_tokens_map_file": "x"}, {"vocab": {"a": 0}}, {"merges": []},
    {"model_type": "x"}, {"subfolder": "x"}, {"added_tokens_decoder": {"0": {"auto_map": "x"}}},
    {"tokenizer_object": {}}, {"new_key": 1},
])  # fmt: skip
def test_tokenizer_config_patch_changes_only_tokens(patch: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        check_content("tokenizer_config.json", patch, keys=set(patch), patch=True)
    assert f"`{next(iter(patch))}" in caught.value.message or "auto_map" in caught.value.message


def test_saved_tokenizer_config_keys_are_accepted() -> None:
    patch = {
        "chat_template": "{{ file }}{{ kernel }}", "backend": "tokenizers", "unk_token": "<unk>",
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 10**30,
        "added_tokens_decoder": {"5": {"content": "auto_map", "special": True}},
        "image_token": "<image>", "extra_special_tokens": {"path": "<path>"},
        "processor_class": "LlavaProcessor", "padding_side": "left", "add_bos_token": True,
    }  # fmt: skip
    check_content("tokenizer_config.json", patch, keys=(), patch=True)


@pytest.mark.parametrize("content", [
    {"tokenizer_file": "/etc/passwd"}, {"vocab_file": "x"}, {"auto_map": {}}, [], {"a": "b"},
    {"unk_token": {"auto_map": "x"}}, {"chat_template": "x"},
])  # fmt: skip
def test_special_tokens_map_contains_only_tokens(
    content: Any,
) -> None:
    check_content("special_tokens_map.json", {"unk_token": {"content": "a"}}, keys=(), patch=False)
    with pytest.raises(SpecError):
        check_content("special_tokens_map.json", content, keys=(), patch=False)


def test_processor_settings_are_checked_and_vocabularies_may_have_any_key() -> None:
    settings = {"image_processor_type": "CLIPImageProcessor", "size": {"height": 4}, "dtype": None}
    check_content("preprocessor_config.json", settings, keys=(), patch=False)
    refused: tuple[dict[str, Any], ...] = (
        {"auto_map": {}}, {"a": [{"pretrained_path": "x"}]}, {"processor_class": "a.B"},
    )  # fmt: skip
    for bad in refused:
        with pytest.raises(SpecError):
            check_content("preprocessor_config.json", bad, keys=(), patch=False)
    check_content("vocab.json", {"auto_map": 0, "file": 1}, keys=(), patch=False)


def test_wide_or_deep_patch_is_checked_in_linear_time() -> None:
    deep: Any = {"auto_map": "x"}
    for _ in range(60):
        deep = [{"a": deep}]
    with pytest.raises(SpecError, match="auto_map"):
        check_config_patch({"rope": deep}, {"rope"}, "it")
    check_config_patch({"rope": [{"a": n} for n in range(10**5)]}, {"rope"}, "it")


def test_generation_keys_match_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    of_whisper = {
        "alignment_heads", "forced_decoder_ids", "is_multilingual", "lang_to_id", "language",
        "max_initial_timestamp_index", "median_filter_width", "no_timestamps_token_id",
        "prev_sot_token_id", "return_timestamps", "task", "task_to_id",
    }  # fmt: skip
    declared = vars(transformers.GenerationConfig()).keys()
    assert declared >= GENERATION_KEYS - of_whisper
    assert {key for key in declared - GENERATION_KEYS if refusal_of(key, {"a": "b"}) is None} == {
        "transformers_version", "speculation_type", "use_mtp",
    } & declared  # fmt: skip
