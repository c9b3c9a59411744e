import pytest

from skillpm.delta.tensors.pairing import pair_up
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec

NAMES = [f"layer.{n}.weight" for n in range(3)]


def specs(*names: str, shape: tuple[int, ...] = (2, 2)) -> dict[str, TensorSpec]:
    return {name: TensorSpec(name, "F32", shape) for name in names}


def test_empty_tensor_in_place_of_a_full_one_is_a_placeholder() -> None:
    tuned = specs(*NAMES) | specs(NAMES[1], shape=(0,))
    with pytest.raises(GraftError, match="is an empty placeholder") as caught:
        pair_up(specs(*NAMES), tuned, cast=False)
    assert "zero_to_fp32" in (caught.value.hint or "")


def test_tensor_that_is_empty_in_the_base_may_be_empty_in_the_tuned_model() -> None:
    both = specs(*NAMES) | specs("mask", shape=(0,))
    assert len(pair_up(both, both, cast=False)[0]) == 4


@pytest.mark.parametrize(
    "wrapped",
    [
        "layer.1._fsdp_wrapped_module.weight",
        "layer.1._checkpoint_wrapped_module._fsdp_wrapped_module.weight",
        "layer._orig_mod.1.weight",
        "layer.1.module.weight",
        "layer.1.base_layer.weight",
    ],
)
def test_tensor_inside_a_wrapper_is_refused(wrapped: str) -> None:
    tuned = specs(NAMES[0], NAMES[2], wrapped)
    with pytest.raises(GraftError, match=r"the base's `layer\.1\.weight` in a wrapper"):
        pair_up(specs(*NAMES), tuned, cast=False)


def test_wrapper_around_the_whole_model_is_removed() -> None:
    tuned = specs(*(f"_orig_mod.{name}" for name in NAMES))
    pairs, _ = pair_up(specs(*NAMES), tuned, cast=False)
    assert [pair.tensor for pair in pairs] == NAMES


def test_new_tensor_beside_those_of_the_base_is_added() -> None:
    tuned = specs(*NAMES, "layer.1.extra.weight")
    pairs, _ = pair_up(specs(*NAMES), tuned, cast=False)
    assert [p.tensor for p in pairs if p.change == "added"] == ["layer.1.extra.weight"]
