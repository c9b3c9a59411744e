import itertools
from typing import Any

import numpy as np
import pytest
from delta_worlds import Model, encode_pack, graftllm, numbers, read_all
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.tensors.differences import measure_difference
from skillpm.delta.tensors.rounding import from_float64, to_float64
from skillpm.delta.tensors.words import word_dtype
from skillpm.errors import GraftError, IntegrityError

ATTENTION = "layers.0.attn.q_proj.weight"


def _values(dtype: str, seed: int, size: int = 24) -> np.ndarray:
    words, _ = from_float64(np.random.default_rng(seed).normal(size=size), dtype)
    return to_float64(words, dtype)


def _model(dtype: str, seed: int) -> Model:
    return Model({ATTENTION: numbers(dtype, (4, 6), _values(dtype, seed)), "k": ("U8", (1,), b"k")})


def _result(base: Model, applied: list[WeightedPack], name: str = ATTENTION) -> np.ndarray:
    data = read_all(Composition(base, applied), name)
    spec = base.specs[name]
    return to_float64(np.frombuffer(data, word_dtype(spec.itemsize)), spec.dtype)


dtypes = st.sampled_from(["F32", "F16", "BF16", "F64", "F8_E5M2"])
weights_of_three = st.tuples(*[st.sampled_from([1.0, 0.5, -1.25, 0.0])] * 3)


@given(dtypes, st.permutations(range(3)), weights_of_three)
def test_order_of_packs_does_not_affect_the_result(
    dtype: str, order: list[int], weights: tuple[float, ...]
) -> None:
    base = _model(dtype, 0)
    packs = [encode_pack(base, _model(dtype, n + 1), f"acme/p{n}") for n in range(3)]
    applied = [WeightedPack(pack, weight) for pack, weight in zip(packs, weights, strict=True)]
    shuffled = [applied[n] for n in order]
    one = read_all(Composition(base, applied), ATTENTION)
    assert read_all(Composition(base, shuffled), ATTENTION) == one


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F8_E5M2"])
def test_weighted_packs_are_summed_by_name_and_rounded_once(dtype: str) -> None:
    base = _model(dtype, 0)
    applied, total = [], _values(dtype, 0)
    for seed, skill, weight in ((1, "acme/a", 0.5), (2, "acme/b", 1.0), (3, "zoo/a", -0.25)):
        applied.append(WeightedPack(encode_pack(base, _model(dtype, seed), skill), weight))
        total = total + (_values(dtype, seed) - _values(dtype, 0)) * weight
    expected = to_float64(from_float64(total, dtype)[0], dtype)
    assert (_result(base, applied[::-1]) == expected).all()


def test_lossy_packs_are_summed_by_their_decoded_deltas() -> None:
    base = _model("F32", 0)
    packs = [
        encode_pack(base, _model("F32", n + 1), f"acme/p{n}", scheme=graftllm()) for n in range(2)
    ]
    deltas = [
        np.concatenate([d for _, _, d in pack.decode(ATTENTION, base) if d is not None])
        for pack in packs
    ]
    total = _values("F32", 0) + deltas[0] + deltas[1]
    expected = to_float64(from_float64(total, "F32")[0], "F32")
    assert (_result(base, [WeightedPack(pack) for pack in packs]) == expected).all()


def test_single_pack_at_weight_one_gives_its_own_decode() -> None:
    base, tuned = _model("F16", 0), _model("F16", 1)
    pack = encode_pack(base, tuned)
    whole = Composition(base, [WeightedPack(pack)])
    assert whole.sole(ATTENTION) is pack.entries[ATTENTION]
    assert whole.sole("k") is None
    assert read_all(whole, ATTENTION) == tuned.tensors[ATTENTION][2]
    assert Composition(base, [WeightedPack(pack, 0.5)]).sole(ATTENTION) is None


def test_empty_composition_is_the_base() -> None:
    base = _model("BF16", 0)
    empty = Composition(base, [])
    assert empty.specs == base.specs
    assert not empty.touched
    assert read_all(empty, ATTENTION) == base.tensors[ATTENTION][2]


def test_layered_pack_gives_its_own_decode() -> None:
    base, middle, top = (_model("F32", n) for n in range(3))
    lower = encode_pack(base, middle, "acme/low")
    composed = Composition(base, [WeightedPack(lower)])
    upper = encode_pack(composed, top, "acme/up", over=(lower,))
    highest = encode_pack(top, _model("F32", 3), "acme/a-top", over=(upper,))
    whole = Composition(base, [WeightedPack(upper), WeightedPack(lower)])
    assert read_all(whole, ATTENTION) == top.tensors[ATTENTION][2]
    assert whole.sole(ATTENTION) is upper.entries[ATTENTION]
    three = Composition(base, [WeightedPack(highest), WeightedPack(upper), WeightedPack(lower)])
    assert read_all(three, ATTENTION) == _model("F32", 3).tensors[ATTENTION][2]


def test_layered_pack_without_its_lower_pack_is_refused() -> None:
    base, middle = _model("F32", 0), _model("F32", 1)
    lower = encode_pack(base, middle, "acme/low")
    upper = encode_pack(middle, _model("F32", 2), "acme/up", over=(lower,))
    with pytest.raises(
        GraftError, match="`acme/up` is layered on `acme/low`, which is not in the set"
    ):
        Composition(base, [WeightedPack(upper)])


def test_added_removed_and_resized_tensors_come_from_their_pack() -> None:
    base = Model(
        {"k": ("U8", (2,), b"ab"), "gone": ("U8", (1,), b"x"), "e": numbers("F32", (2, 2), 1.0)}
    )
    tuned = Model(
        {"k": ("U8", (2,), b"ac"), "new": ("U8", (1,), b"y"), "e": numbers("F32", (3, 2), 2.0)}
    )
    whole = Composition(base, [WeightedPack(encode_pack(base, tuned))])
    assert whole.specs == tuned.specs
    assert all(read_all(whole, name) == tuned.tensors[name][2] for name in tuned.specs)


def test_sum_that_overflows_is_an_error() -> None:
    base = Model({"w": numbers("F32", (3,), [1.0, 2.0, 3.0])})
    high = Model({"w": numbers("F32", (3,), [3e38, 2.0, 3.0])})
    packs = [encode_pack(base, high, f"acme/p{n}") for n in range(2)]
    with pytest.raises(GraftError, match="`w` overflows F32"):
        _result(base, [WeightedPack(pack) for pack in packs], "w")


def test_nonfinite_elements_of_the_base_are_kept_in_a_sum() -> None:
    words = np.array([np.inf, np.nan, 1.0], dtype="<f4")
    base = Model({"w": ("F32", (3,), words.tobytes())})
    packs = []
    for number in range(2):
        moved = words.copy()
        moved[2] += number + 1
        packs.append(
            encode_pack(base, Model({"w": ("F32", (3,), moved.tobytes())}), f"acme/p{number}")
        )
    data = read_all(Composition(base, [WeightedPack(pack) for pack in packs]), "w")
    words[2] = 4.0
    assert data == words.tobytes()


def test_pack_that_turns_a_number_into_nan_cannot_be_summed() -> None:
    base = Model({"w": numbers("F32", (2,), 1.0)})
    bad = Model({"w": ("F32", (2,), np.array([np.nan, 1.0], dtype="<f4").tobytes())})
    good = Model({"w": numbers("F32", (2,), 2.0)})
    packs = [
        WeightedPack(encode_pack(base, bad, "acme/a")),
        WeightedPack(encode_pack(base, good, "acme/b")),
    ]
    with pytest.raises(GraftError, match="becomes NaN"):
        _result(base, packs, "w")


@pytest.mark.parametrize("other", [
    {"w": ("F32", (2,), bytes(8))}, {"w": ("F32", (3,), bytes(12))}, {"v": ("F16", (2,), bytes(4))},
])  # fmt: skip
def test_base_of_another_shape_or_dtype_is_refused(other: dict[str, Any]) -> None:
    base = Model({"w": ("F16", (2,), bytes(4))})
    pack = encode_pack(base, Model({"w": ("F16", (2,), b"\1\0\2\0")}))
    with pytest.raises(IntegrityError, match="`w`"):
        list(pack.decode("w", Model(other)))


def test_measure_difference_reports_change_elements_and_relative_size() -> None:
    letter = ("U8", (1,), b"a")
    before = Model({
        "w": numbers("F32", (4,), 2.0),
        "i": letter,
        "x": letter,
        "r": ("U8", (2,), b"ab"),
        "c": numbers("F32", (1,), 1.0),
    })  # fmt: skip
    after = Model({
        "w": numbers("F32", (4,), [2.0, 2.0, 2.0, 4.0]),
        "i": ("U8", (1,), b"b"),
        "y": letter,
        "r": letter,
        "c": numbers("F16", (1,), 1.0),
    })  # fmt: skip
    found = {n: measure_difference(n, before=before, after=after) for n in "wixyrc"}
    assert {n: one.change for n, one in found.items()} == {
        "w": "changed", "i": "changed", "x": "removed", "y": "added", "r": "resized", "c": "cast",
    }  # fmt: skip
    assert (found["w"].elements, found["w"].relative) == (1, 0.5)
    assert (found["i"].elements, found["i"].relative) == (1, None)


def test_every_order_of_three_packs_touches_the_same_tensors() -> None:
    base = _model("F32", 0)
    packs = [WeightedPack(encode_pack(base, _model("F32", n + 1), f"acme/p{n}")) for n in range(3)]
    found = {
        tuple(Composition(base, list(o)).touched[ATTENTION]) for o in itertools.permutations(packs)
    }
    assert len(found) == 1
