import pytest

from skillpm.adapters.keys import sort_keys
from skillpm.errors import SpecError

P = "base_model.model."


def test_names_are_parsed_with_and_without_the_adapter_name() -> None:
    keys = sort_keys(
        [
            f"{P}a.q.lora_A.weight",
            f"{P}a.q.lora_B.weight",
            f"{P}a.q.lora_magnitude_vector",
            f"{P}a.k.lora_A.default.weight",
            f"{P}a.k.lora_B.default.weight",
            f"{P}a.k.lora_magnitude_vector.default.weight",
            f"{P}wte.lora_embedding_A",
            f"{P}wte.lora_embedding_B.default",
            f"{P}a.q.base_layer.bias",
            f"{P}head.modules_to_save.default.weight",
            f"{P}head.original_module.weight",
            f"{P}norm.weight",
        ],
        "it",
    )
    assert {name: module.embedding for name, module in keys.modules.items()} == {
        "a.q": False, "a.k": False, "wte": True,
    }  # fmt: skip
    assert [keys.modules[n].magnitude is None for n in ("a.q", "a.k", "wte")] == [
        False, False, True,
    ]  # fmt: skip
    assert set(keys.dense) == {"a.q.bias", "head.weight", "norm.weight"}
    assert keys.adapters == {"default"}


def test_resized_embedding_that_was_saved_twice_is_read_once() -> None:
    names = [f"{P}head.modules_to_save.weight", f"{P}head.original_module.weight"]
    assert sort_keys(names, "it").dense == {"head.weight": names[0]}
    plain = f"{P}head.weight"
    assert sort_keys([*names, plain], "it").dense == {"head.weight": plain}


@pytest.mark.parametrize(("names", "problem"), [
    (["a.q.lora_A.weight"], "start with `base_model.model.`"),
    ([f"{P}a.q.lora_A.weight"], "`a.q` has no factor B"),
    ([f"{P}a.q.lora_B.weight"], "`a.q` has no factor A"),
    ([f"{P}a.q.lora_magnitude_vector"], "`a.q` has no factor A"),
    ([f"{P}a.q.lora_A.weight", f"{P}a.q.lora_A.x.weight"], "factor A of `a.q` twice"),
    ([f"{P}a.lora_A.x.weight", f"{P}b.lora_A.y.weight"], "several adapters: `x`, `y`"),
    ([f"{P}a.bias", f"{P}a.base_layer.bias"], "tensor of `a.bias` twice"),
    ([f"{P}a.lora_magnitude_vector", f"{P}a.lora_magnitude_vector.x"], "magnitude of `a` twice"),
    ([f"{P}a.q.lora_B.bias"], "is not a tensor of a plain LoRA"),
    ([f"{P}a.q.lora_diag"], "is not a tensor of a plain LoRA"),
    ([f"{P}a.q.lora_A"], "is not a tensor of a plain LoRA"),
    ([f"{P}a.token_adapter.weight"], "is not a tensor of a plain LoRA"),
    ([f"{P}wte.lora_embedding_A", f"{P}wte.lora_A.weight"], "twice"),
])  # fmt: skip
def test_unknown_or_ambiguous_names_are_refused(names: list[str], problem: str) -> None:
    with pytest.raises(SpecError, match=problem.replace("`", ".")):
        sort_keys(names, "it")
