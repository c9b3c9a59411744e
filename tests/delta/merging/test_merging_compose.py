"""Compositions by every method: which pack decides a tensor, and what has no effect."""

import itertools

import delta_worlds
import numpy as np
import pytest
from delta_worlds import Model, encode_pack, graftllm, numbers, read_all

from skillpm.delta.codecs import lossless
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.merging import dare, methods
from skillpm.delta.merging import vectors as merging_vectors
from skillpm.delta.merging.methods import METHODS, merge
from skillpm.delta.merging.vectors import Vector
from skillpm.delta.tensors import words as bits
from skillpm.delta.tensors.rounding import from_float64, to_float64
from skillpm.errors import GraftError
from skillpm.spec.merging import Merging

ATTENTION = "layers.0.attn.q_proj.weight"
BOTH = [*METHODS, "sum"]


def _values(dtype: str, seed: int, size: int = 240) -> np.ndarray:
    chance = np.random.default_rng(seed)
    start = np.random.default_rng(0).normal(size=size)
    words, _ = from_float64(start + (chance.normal(size=size) * 0.1 if seed else 0.0), dtype)
    return to_float64(words, dtype)


def _model(dtype: str, seed: int, size: int = 240) -> Model:
    return Model({ATTENTION: numbers(dtype, (size,), _values(dtype, seed, size))})


def _packs(dtype: str, count: int = 3) -> tuple[Model, list[OpenPack]]:
    base = _model(dtype, 0)
    return base, [encode_pack(base, _model(dtype, n + 1), f"acme/p{n}") for n in range(count)]


def _merged(vectors: list[Vector], merging: Merging) -> np.ndarray:
    return np.concatenate(list(merge(vectors, merging, ATTENTION)))


def _read(base: Model, applied: list[WeightedPack], merging: Merging) -> bytes:
    return read_all(Composition(base, applied, merging=merging), ATTENTION)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["F32", "BF16", "F8_E5M2", "F64"])
def test_merged_tensor_is_base_plus_merged_deltas_rounded_once(method: str, dtype: str) -> None:
    base, packs = _packs(dtype)
    weights, start = (1.0, 0.5, -0.25), _values(dtype, 0)
    merging = Merging(method, {"density": 0.5})
    vectors = [
        Vector.of(f"acme/p{n}", weight, _values(dtype, n + 1) - start)
        for n, weight in enumerate(weights)
    ]
    expected = from_float64(start + _merged(vectors, merging), dtype)[0]
    applied = [WeightedPack(pack, weight) for pack, weight in zip(packs, weights, strict=True)]
    assert _read(base, applied, merging) == expected.tobytes()


@pytest.mark.parametrize("method", BOTH)
def test_order_of_packs_does_not_affect_the_result(method: str) -> None:
    base, packs = _packs("BF16")
    applied = [
        WeightedPack(pack, weight) for pack, weight in zip(packs, (1.0, 0.5, 2.0), strict=True)
    ]
    orders = itertools.permutations(applied)
    assert len({_read(base, list(order), Merging(method)) for order in orders}) == 1


def test_chunk_boundaries_do_not_affect_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found() -> dict[str, bytes]:
        base, packs = _packs("F32", 2)
        applied = [WeightedPack(packs[0]), WeightedPack(packs[1], 0.5)]
        return {method: _read(base, applied, Merging(method)) for method in BOTH}

    whole = found()
    for room in (bits, dare, lossless, delta_worlds, merging_vectors):
        monkeypatch.setattr(room, "CHUNK", 128)
    assert len(bits.chunk_spans(_model("F32", 0).specs[ATTENTION])) == 2
    assert found() == whole


@pytest.mark.parametrize("method", METHODS)
def test_single_pack_gives_its_own_decode_for_every_method(method: str) -> None:
    base, packs = _packs("F16")
    whole = Composition(base, [WeightedPack(packs[0])], merging=Merging(method))
    assert whole.sole(ATTENTION) is packs[0].entries[ATTENTION]
    assert not whole.merges(ATTENTION)
    assert read_all(whole, ATTENTION) == _model("F16", 1).tensors[ATTENTION][2]


@pytest.mark.parametrize("method", METHODS)
def test_single_pack_at_a_weight_is_scaled_and_not_merged(method: str) -> None:
    base, packs = _packs("F32")
    half = [WeightedPack(packs[0], 0.5)]
    assert _read(base, half, Merging(method)) == _read(base, half, Merging())


@pytest.mark.parametrize("method", METHODS)
def test_layered_packs_are_one_task_vector(method: str) -> None:
    base = _model("F32", 0)
    low = encode_pack(base, _model("F32", 1), "acme/low")
    up = encode_pack(_model("F32", 1), _model("F32", 2), "acme/up", over=(low,))
    flat = encode_pack(base, _model("F32", 2), "acme/up")
    other = encode_pack(base, _model("F32", 3), "acme/zoo")
    merging = Merging(method, {"density": 0.5})
    stack = Composition(
        base, [WeightedPack(low), WeightedPack(up), WeightedPack(other)], merging=merging
    )
    found = {str(top): [*map(str, under)] for top, under in stack.vectors(ATTENTION).items()}
    assert found == {"acme/up": ["acme/low", "acme/up"], "acme/zoo": ["acme/zoo"]}
    alone = Composition(base, [WeightedPack(low), WeightedPack(up)], merging=merging)
    assert read_all(alone, ATTENTION) == _model("F32", 2).tensors[ATTENTION][2]
    together = np.frombuffer(read_all(stack, ATTENTION), "<f4")
    plain = np.frombuffer(_read(base, [WeightedPack(flat), WeightedPack(other)], merging), "<f4")
    assert np.allclose(together, plain, atol=1e-6)


def test_packs_below_one_top_are_one_vector_outside_its_footprint() -> None:
    base = Model({n: numbers("F32", (4,), 0.0) for n in ("shared", "own")})
    lows = [
        encode_pack(
            base, Model({**base.tensors, "shared": numbers("F32", (4,), v)}), f"acme/low{v}"
        )
        for v in (1, 2)
    ]
    set_of_lows = Composition(base, [WeightedPack(low) for low in lows])
    tuned = {"shared": numbers("F32", (4,), 3.0), "own": numbers("F32", (4,), 9.0)}
    top = encode_pack(set_of_lows, Model(tuned), "acme/top", over=tuple(lows))
    assert list(top.entries) == ["own"]
    ties = Composition(base, [WeightedPack(one) for one in (*lows, top)], merging=Merging("ties"))
    assert not ties.merges("shared")
    assert read_all(ties, "shared") == tuned["shared"][2]
    loose = Composition(base, [WeightedPack(low) for low in lows], merging=Merging("ties"))
    assert loose.merges("shared")


def test_pack_below_two_layered_packs_is_a_vector_of_its_own() -> None:
    base = _model("F32", 0)
    low = encode_pack(base, _model("F32", 1), "acme/low")
    tops = [
        encode_pack(_model("F32", 1), _model("F32", n), f"acme/top{n}", over=(low,)) for n in (2, 3)
    ]
    whole = Composition(base, [WeightedPack(one) for one in (low, *tops)], merging=Merging("ties"))
    assert all(len(under) == 1 for under in whole.vectors(ATTENTION).values())
    assert len(whole.vectors(ATTENTION)) == 3


@pytest.mark.parametrize("method", METHODS)
def test_reference_of_a_layered_pack_is_a_sum_for_every_method(method: str) -> None:
    base, lows = _packs("F32", 2)
    below = Composition(base, [WeightedPack(low) for low in lows])
    top = encode_pack(below, _model("F32", 7), "acme/top", over=tuple(lows))
    whole = Composition(base, [WeightedPack(one) for one in (*lows, top)], merging=Merging(method))
    assert read_all(whole, ATTENTION) == _model("F32", 7).tensors[ATTENTION][2]


@pytest.mark.parametrize("method", METHODS)
def test_lossy_packs_are_merged_by_their_decoded_deltas(method: str) -> None:
    base = Model({ATTENTION: numbers("F32", (12, 20), _values("F32", 0))})
    packs = []
    for n in range(2):
        tuned = Model({ATTENTION: numbers("F32", (12, 20), _values("F32", n + 1))})
        packs.append(encode_pack(base, tuned, f"acme/p{n}", scheme=graftllm()))
    vectors = [
        Vector.of(str(p.skill), 1.0, np.concatenate([d for *_, d in p.decode(ATTENTION, base)]))
        for p in packs
    ]
    total = _values("F32", 0) + _merged(vectors, Merging(method))
    expected = from_float64(total, "F32")[0].tobytes()
    assert _read(base, [WeightedPack(pack) for pack in packs], Merging(method)) == expected


def test_merge_that_overflows_is_an_error() -> None:
    base = Model({ATTENTION: numbers("F32", (3,), [1.0, 2.0, 3.0])})
    high = Model({ATTENTION: numbers("F32", (3,), [3e38, 2e38, 3e38])})
    applied = [WeightedPack(encode_pack(base, high, f"acme/p{n}")) for n in range(2)]
    with pytest.raises(GraftError, match="overflows F32"):
        _read(base, applied, Merging("dare", {"density": 1.0}))


@pytest.mark.parametrize("method", METHODS)
def test_pack_that_turns_a_number_into_nan_cannot_be_merged(method: str) -> None:
    base = Model({ATTENTION: numbers("F32", (2,), 1.0)})
    bad = Model({ATTENTION: ("F32", (2,), np.array([np.nan, 1.0], dtype="<f4").tobytes())})
    good = Model({ATTENTION: numbers("F32", (2,), 2.0)})
    packs = [
        WeightedPack(encode_pack(base, bad, "acme/a")),
        WeightedPack(encode_pack(base, good, "acme/b")),
    ]
    with pytest.raises(GraftError, match="becomes NaN"):
        _read(base, packs, Merging(method))


@pytest.mark.parametrize("method", METHODS)
def test_nonfinite_elements_of_the_base_are_kept(method: str) -> None:
    words = np.array([np.inf, np.nan, 1.0, -0.0], dtype="<f4")
    base = Model({ATTENTION: ("F32", (4,), words.tobytes())})
    packs = []
    for number in range(2):
        moved = words.copy()
        moved[2] += number + 1
        tuned = Model({ATTENTION: ("F32", (4,), moved.tobytes())})
        packs.append(WeightedPack(encode_pack(base, tuned, f"acme/p{number}")))
    found = _read(base, packs, Merging(method, {"density": 1.0}))
    assert found[:8] == words.tobytes()[:8]
    assert found[12:] == words.tobytes()[12:]
    assert np.frombuffer(found, "<f4")[2] > 1.0


@pytest.mark.parametrize("method", METHODS)
def test_vectors_that_are_not_held_give_the_same_graft(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, packs = _packs("BF16")
    applied = [
        WeightedPack(pack, weight) for pack, weight in zip(packs, (1.0, 0.5, 2.0), strict=True)
    ]
    held = _read(base, applied, Merging(method))
    monkeypatch.setattr(methods, "HELD", 0)
    assert _read(base, applied, Merging(method)) == held
