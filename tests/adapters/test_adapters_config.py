import json
from math import sqrt
from typing import Any

import pytest

from skillpm.adapters.config import parse_config
from skillpm.errors import SpecError


def config(**keys: Any) -> Any:
    plain = {"peft_type": "LORA", "r": 4, "lora_alpha": 6, **keys}
    return parse_config(json.dumps(plain).encode(), "the config")


def test_scale_is_alpha_over_the_rank_or_its_root() -> None:
    assert config().scale_of("model.q_proj", 4) == 6 / 4
    assert config(use_rslora=True).scale_of("model.q_proj", 4) == 6 / sqrt(4)


def test_first_pattern_that_matches_the_end_of_a_name_applies() -> None:
    found = config(
        rank_pattern={"layers.0.q_proj": 7, "q_proj": 3, r".*\.v_.*": 2},
        alpha_pattern={"^a.b.k_proj": 8, "k_proj": 9},
    )
    assert [found.rank_of(f"model.layers.{n}.q_proj") for n in (0, 1)] == [7, 3]
    assert found.rank_of("model.xq_proj") == 4
    assert found.rank_of("model.v_proj") == 2
    assert found.scale_of("a.b.k_proj", 1) == 8.0
    assert found.scale_of("x.a.b.k_proj", 1) == 9.0
    assert found.scale_of("k_proj", 1) == 9.0


@pytest.mark.parametrize("kind", ["VERA", "LOHA", "IA3", "OFT", "ADALORA", None])
def test_other_kinds_of_adapters_are_refused_by_name(kind: str | None) -> None:
    with pytest.raises(SpecError, match=f"has `peft_type` {kind!r}; only LORA"):
        config(peft_type=kind)


@pytest.mark.parametrize(("key", "value"), [
    ("layer_replication", [[0, 2], [1, 3]]), ("megatron_config", {"a": 1}),
    ("trainable_token_indices", [1, 2]), ("alora_invocation_tokens", [5]), ("lora_bias", True),
    ("use_qalora", True), ("use_bdlora", {"a": 1}),
    ("arrow_config", {"top_k": 1}), ("kasa_config", {"beta": 1}),
])  # fmt: skip
def test_unsupported_options_are_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"sets `{key}`") as found:
        config(**{key: value})
    assert found.value.hint


def test_unknown_key_with_a_value_is_refused() -> None:
    assert config(brand_new=None, another=False, third={}).r == 4
    with pytest.raises(SpecError, match="sets `brand_new`, which this version of"):
        config(brand_new=0.5)


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_16", "olora", "OLORA", "corda", "loftq",
                                   "lora_ga"])  # fmt: skip
def test_initialization_that_changes_the_base_is_refused_by_name(start: str) -> None:
    with pytest.raises(SpecError, match=f"{start!r}, which changes the base") as found:
        config(init_lora_weights=start)
    assert "path_initial_model_for_weight_conversion" in (found.value.hint or "")


def test_unknown_initialization_is_refused() -> None:
    with pytest.raises(SpecError, match="'brand_new', which this version of skillpm does not know"):
        config(init_lora_weights="brand_new")


@pytest.mark.parametrize("keys", [
    {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4}, {"peft_type": "ADAPTION_PROMPT"},
    {"peft_type": "NEW_PROMPTS", "num_virtual_tokens": 4}, {"alora_invocation_tokens": [5]},
])  # fmt: skip
def test_unmergeable_adapter_gets_no_hint_to_merge(keys: dict[str, object]) -> None:
    with pytest.raises(SpecError) as found:
        config(**keys)
    assert "merge" not in (found.value.hint or "")
    assert "LoRA" in (found.value.hint or "")


@pytest.mark.parametrize("start", [True, False, "gaussian", "eva", "orthogonal", "mica", None])
def test_initialization_that_keeps_the_base_is_accepted(start: object) -> None:
    assert config(init_lora_weights=start).init_lora_weights == start


@pytest.mark.parametrize("wrong", [
    {"r": 0}, {"r": "4"}, {"r": 4.0}, {"lora_alpha": "x"}, {"rank_pattern": {"q": 0}},
    {"rank_pattern": [1]}, {"alpha_pattern": {"q": None}}, {"use_rslora": 1},
    {"bias": "some"}, {"modules_to_save": "head"}, {"rank_pattern": {"(": 3}},
    {"alpha_pattern": {r"(a)\1": 3}}, {"alpha_pattern": {"(?=a)a": 3}},
    {"rank_pattern": {f"a{n}": 1 for n in range(2049)}}, {"r": 10**4000},
    {"rank_pattern": {"a" * 501: 3}},
])  # fmt: skip
def test_invalid_config_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="the config"):
        config(**wrong)
