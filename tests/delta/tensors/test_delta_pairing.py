import pytest
from delta_worlds import Model, encode_pack, numbers, read_all

from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.tensors.pairing import Pair, Renaming, pair_up
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec


def _specs(
    *names: str, dtype: str = "F32", shape: tuple[int, ...] = (2, 2)
) -> dict[str, TensorSpec]:
    return {name: TensorSpec(name, dtype, shape) for name in names}


def _found(base: dict[str, TensorSpec], tuned: dict[str, TensorSpec]) -> dict[str, Pair]:
    return {pair.tensor: pair for pair in pair_up(base, tuned, cast=False)[0]}


def test_prefix_that_the_tuned_model_adds_is_removed() -> None:
    base, tuned = (
        _specs("encoder.a", "encoder.b"),
        _specs("bert.encoder.a", "bert.encoder.b", "head.w"),
    )
    pairs, renaming = pair_up(base, tuned, cast=False)
    assert renaming == Renaming(tuned="bert.")
    assert [(p.tensor, p.source, p.change) for p in pairs] == [
        ("encoder.a", "bert.encoder.a", "changed"),
        ("encoder.b", "bert.encoder.b", "changed"),
        ("head.w", None, "added"),
    ]


def test_prefix_that_the_tuned_model_lacks_is_added() -> None:
    base, tuned = (
        _specs("bert.encoder.a", "bert.encoder.b", "bert.gone"),
        _specs("encoder.a", "encoder.b"),
    )
    pairs, renaming = pair_up(base, tuned, cast=False)
    assert renaming == Renaming(base="bert.")
    assert [(p.tensor, p.read_name, p.change) for p in pairs] == [
        ("bert.encoder.a", "encoder.a", "changed"),
        ("bert.encoder.b", "encoder.b", "changed"),
        ("bert.gone", "bert.gone", "removed"),
    ]


def test_renamed_tensor_is_read_by_its_name_in_the_tuned_model() -> None:
    base = Model({"w": numbers("F32", (2,), 1.0), "v": numbers("F32", (2,), 1.0)})
    tuned = Model({"m.w": numbers("F32", (2,), 2.0), "m.v": numbers("F32", (2,), 1.0)})
    pack = encode_pack(base, tuned)
    assert {name: entry.source for name, entry in pack.entries.items()} == {"w": "m.w"}
    assert read_all(Composition(base, [WeightedPack(pack)]), "w") == tuned.tensors["m.w"][2]


@pytest.mark.parametrize(("tuned", "message"), [
    (_specs("x.a", "y.a"), "with or without a prefix"),
    (_specs("b"), "with or without a prefix"),
    (_specs("p.a", shape=(2, 3)), "the shape of `p.a` differs"),
    (_specs("a", shape=(3, 2)), "shares no tensor of the same name and shape"),
])  # fmt: skip
def test_names_without_a_unique_match_are_refused(
    tuned: dict[str, TensorSpec], message: str
) -> None:
    with pytest.raises(GraftError, match=message):
        pair_up(_specs("a"), tuned, cast=False)


def test_two_tensors_that_map_to_one_name_are_refused() -> None:
    with pytest.raises(GraftError, match=r"`x` and `m\.x` of the tuned model both map to `x`"):
        pair_up(_specs("a", "b"), _specs("m.a", "m.b", "m.x", "x"), cast=False)


def test_tensors_are_changed_resized_added_or_removed() -> None:
    base = {**_specs("same", "gone"), **_specs("grown", shape=(2, 4))}
    tuned = {**_specs("same", "new"), **_specs("grown", shape=(3, 4))}
    assert {name: pair.change for name, pair in _found(base, tuned).items()} == {
        "same": "changed", "gone": "removed", "grown": "resized", "new": "added",
    }  # fmt: skip


def test_another_dtype_is_refused_with_both_dtypes() -> None:
    base, tuned = _specs("w", dtype="BF16"), _specs("w", dtype="F32")
    with pytest.raises(GraftError, match="BF16 in the base, F32 in the tuned model") as problem:
        pair_up(base, tuned, cast=False)
    assert "--cast" in str(problem.value.hint)


def test_cast_rounds_the_tuned_model_to_the_base_dtype() -> None:
    base = Model({"w": numbers("BF16", (2,), [1.0, 2.0])})
    tuned = Model({"w": numbers("F32", (2,), [1.0 + 2.0**-8, 2.0 + 2.0**-6 + 2.0**-9])})
    grafted = Composition(base, [WeightedPack(encode_pack(base, tuned, cast=True))])
    assert read_all(grafted, "w") == numbers("BF16", (2,), [1.0, 2.0 + 2.0**-6])[2]


@pytest.mark.parametrize("bits", ["ffffff7f", "ffffffff", "0000c07f", "0000807f"])
def test_cast_refuses_values_that_do_not_fit(bits: str) -> None:
    base = Model({"w": numbers("BF16", (2,), 1.0)})
    tuned = Model({"w": ("F32", (2,), bytes(4) + bytes.fromhex(bits))})
    with pytest.raises(GraftError, match="`w` has a value that does not fit BF16"):
        encode_pack(base, tuned, cast=True)


def test_cast_from_float_to_integer_is_refused() -> None:
    with pytest.raises(GraftError, match="I64 in the base, F32 in the tuned model") as problem:
        pair_up(_specs("w", dtype="I64"), _specs("w"), cast=True)
    assert problem.value.hint is None
