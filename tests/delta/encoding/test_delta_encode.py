"""Encoding a pack, and measuring what it decodes to."""

import numpy as np
import pytest
from delta_worlds import Model, encode_pack, graftllm, numbers

from skillpm.delta.encoding.encode import EncodingJob, cast_leaf, measure_pack
from skillpm.delta.tensors.pairing import pair_up
from skillpm.errors import GraftError


def _work(base: Model, tuned: Model) -> EncodingJob:
    return EncodingJob(base, tuned, 2, lambda _bytes: None)


def test_measure_pack_compares_with_the_tuned_model() -> None:
    base = Model({"w": numbers("F32", (4,), 1.0), "i": ("U8", (1,), b"a")})
    tuned = Model({"w": numbers("F32", (4,), [1.0, 1.0, 1.0, 4.0]), "i": ("U8", (1,), b"b")})
    pairs, _ = pair_up(base.specs, tuned.specs, cast=False)
    measured = measure_pack(_work(base, tuned), pairs, encode_pack(base, tuned))
    assert {name: one.leaf for name, one in measured.items()} == {n: tuned.leaf(n) for n in "wi"}
    assert (measured["w"].norm, measured["w"].error) == (9.0, 0.0)
    assert abs(measured["w"].sketch).sum() == 3.0
    assert not measured["i"].sketch.any()


def test_measure_pack_fails_if_a_pack_cannot_be_decoded() -> None:
    base = Model({"embed": numbers("F16", (2, 2), 60000.0)})
    small = Model({"embed": numbers("F16", (2, 2), 1.0)})
    tuned = Model({"embed": numbers("F16", (2, 2), 50000.0)})
    pack = encode_pack(small, tuned, scheme=graftllm(alpha=1.0))
    pairs, _ = pair_up(base.specs, tuned.specs, cast=False)
    with pytest.raises(GraftError, match="overflows"):
        measure_pack(_work(base, tuned), pairs, pack)


def test_cast_leaf_is_the_leaf_of_the_rounded_tensor() -> None:
    base = Model({"w": numbers("BF16", (2,), 1.0)})
    tuned = Model({"w": numbers("F32", (2,), 1.0 + 2.0**-9)})
    (pair,), _ = pair_up(base.specs, tuned.specs, cast=True)
    assert cast_leaf(tuned, pair) == base.leaf("w")


def test_encoding_stops_at_the_first_error_and_names_the_tensor() -> None:
    names = [f"layers.{n}.mlp.weight" for n in range(4)]
    base = Model({name: numbers("F32", (2, 2), 1.0) for name in names})
    words = np.array([1, 2, np.nan, 4], dtype="<f4").tobytes()
    tuned = Model(dict.fromkeys(names, ("F32", (2, 2), words)))
    with pytest.raises(GraftError, match="has NaN or Inf"):
        encode_pack(base, tuned, scheme=graftllm())
