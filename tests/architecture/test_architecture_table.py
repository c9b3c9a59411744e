"""The table that ships with skillpm equals the library's facts, and is used without the library."""

import subprocess
from typing import Any

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from skillpm.architecture import ask
from skillpm.architecture.ask import ask_facts
from skillpm.architecture.entries import UNKNOWN
from skillpm.architecture.library import SHIPPED, table_of
from skillpm.architecture.table import ArchitectureTable, shipped_table
from skillpm.spec.loading_keys import check_config_patch, refusal_of

LLAVA = {
    "model_type": "llava",
    "architectures": ["LlavaForConditionalGeneration"],
    "tie_word_embeddings": True,
    "text_config": {"model_type": "qwen2"},
}

GEMMA = {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]}
OF_TEXT = {"lm_head.weight": "model.language_model.embed_tokens.weight"}


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "_installed", lambda: None)


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(subprocess, "run", started)


@pytest.fixture(scope="module")
def fresh() -> ArchitectureTable:
    return table_of(SHIPPED)


def test_shipped_table_equals_the_facts_of_the_installed_library(fresh: ArchitectureTable) -> None:
    table = shipped_table()
    for kind, entry in table.architectures.items():
        now = fresh.architectures[kind]
        if table.library == fresh.library:
            assert entry == now
        assert set(entry.keys) <= set(now.keys) | {"pretraining_tp"}, kind
        for model, tied in entry.tied.items():
            assert tied.items() <= now.tied.get(model, tied).items()


def test_shipped_table_contains_every_listed_architecture(fresh: ArchitectureTable) -> None:
    assert set(SHIPPED) <= shipped_table().architectures.keys()
    assert fresh.architectures.keys() == shipped_table().architectures.keys()
    for entry in shipped_table().architectures.values():
        assert set(entry.parts.values()) <= shipped_table().architectures.keys()
        assert "architectures" in entry.keys
        assert not {"model_type", "auto_map", "transformers_weights"} & set(entry.keys)


@pytest.mark.parametrize(
    ("config", "tied"),
    [
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, {}),
        (
            {
                "model_type": "llama",
                "architectures": ["LlamaForCausalLM"],
                "tie_word_embeddings": True,
            },
            {"lm_head.weight": "model.embed_tokens.weight"},
        ),
        (
            {"model_type": "mamba", "architectures": ["MambaForCausalLM"]},
            {"lm_head.weight": "backbone.embeddings.weight"},
        ),
        (
            {
                "model_type": "t5",
                "architectures": ["T5EncoderModel"],
                "tie_word_embeddings": False,
            },
            {"encoder.embed_tokens.weight": "shared.weight"},
        ),
        (
            {
                "model_type": "bert",
                "architectures": ["BertForMaskedLM"],
                "tie_word_embeddings": False,
            },
            {},
        ),
        ({"model_type": "bert", "architectures": ["BertModel"]}, {}),
        ({**LLAVA, "tie_word_embeddings": False}, {}),
        ({**LLAVA, "tie_word_embeddings": None}, {}),
        (
            {
                **LLAVA,
                "tie_word_embeddings": None,
                "text_config": {"model_type": "qwen2", "tie_word_embeddings": True},
            },
            OF_TEXT,
        ),
        ({**LLAVA, "tie_word_embeddings": False, "text_config": {"model_type": "gemma"}}, OF_TEXT),
        ({**GEMMA, "text_config": {"tie_word_embeddings": False}}, OF_TEXT),
        ({**GEMMA, "tie_word_embeddings": False}, {}),
        ({"model_type": "llama", "architectures": [["x"]], "tie_word_embeddings": True}, {}),
    ],
)
def test_ties_are_those_of_the_class_if_the_config_ties(
    config: dict[str, Any], tied: dict[str, str], no_library: None, no_process: None
) -> None:
    assert ask_facts(config).tied == tied


def test_part_has_the_keys_of_the_class_that_the_config_names(
    no_library: None, no_process: None
) -> None:
    facts = ask_facts(LLAVA)
    assert facts.library == shipped_table().library
    keys = set(facts.config_keys)
    assert {"image_seq_length", "text_config.sliding_window", "vision_config.patch_size"} <= keys
    assert not {"text_config", "vision_config", "text_config.mlp_bias"} & keys
    assert facts.tied == {"lm_head.weight": "model.language_model.embed_tokens.weight"}
    projection = "language_model.layers.*.self_attn.q_proj"
    older = projection.replace("language_model.", "language_model.model.")
    assert facts.names[f"model.{projection}"] == older
    check_config_patch({"text_config": {"vocab_size": 9}}, facts.config_keys, "it")
    assert sorted(facts.config_keys) == facts.config_keys


@pytest.mark.parametrize("config", [
    {}, {"model_type": "../evil"}, {"model_type": 5}, {"model_type": "a b"}, {"architectures": []},
    {"model_type": "--table"}, {"model_type": "x" * 500}, {"model_type": None},
])  # fmt: skip
def test_invalid_architecture_name_is_unknown_and_imports_no_library(
    config: dict[str, Any], no_process: None
) -> None:
    assert ask_facts(config) == UNKNOWN


def test_architecture_outside_the_table_is_read_from_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = {"model_type": "gpt_bigcode", "architectures": ["GPTBigCodeForCausalLM"]}
    facts = ask_facts({**config, "auto_map": {"AutoConfig": "evil.Config"}, "num_layers": 10**9})
    assert facts.library == ask._installed()
    assert {"multi_query", "n_embd"} <= set(facts.config_keys)
    assert facts.tied == {"lm_head.weight": "transformer.wte.weight"}
    monkeypatch.setattr(ask, "_installed", lambda: None)
    assert ask_facts(config) == UNKNOWN


def test_table_is_used_if_the_library_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "_installed", lambda: "transformers 99")
    monkeypatch.setattr(ask, "SECONDS", 0.01)
    assert ask_facts({"model_type": "llama"}).library == shipped_table().library
    assert ask_facts({"model_type": "tiny"}) == UNKNOWN


def test_declared_keys_with_a_number_are_accepted() -> None:
    for entry in shipped_table().architectures.values():
        for key in entry.keys:
            assert refusal_of(key, 1) is None or key in ("use_mambapy", "architectures")


@pytest.mark.parametrize("said", [
    {}, {"tie_word_embeddings": True}, {"tie_word_embeddings": False},
    {"text_config": {"tie_word_embeddings": True}},
    {"tie_word_embeddings": False, "text_config": {"tie_word_embeddings": True}},
    {"tie_word_embeddings": True, "text_config": {"tie_word_embeddings": False}},
])  # fmt: skip
@pytest.mark.parametrize("kind", ["llava", "gemma3", "qwen2_vl", "qwen2_5_vl"])
def test_ties_match_the_config_class_of_transformers(
    kind: str, said: dict[str, Any], no_library: None, no_process: None
) -> None:
    config: Any = CONFIG_MAPPING[kind]
    (model,) = (name for name in shipped_table().architectures[kind].tied if "Conditional" in name)
    plain = {"model_type": kind, "architectures": [model], **said}
    assert bool(ask_facts(plain).tied) is bool(config(**said).tie_word_embeddings)
