import base64
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_documents import ENTRY, manifest_plain

from skillpm.delta.tensors.countsketch import Sketcher, encode_sketch
from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.manifest import Manifest, parse_manifest
from skillpm.spec.overlap import (
    BUCKETS,
    cosine,
    delta_of,
    dot,
    overlap,
    read_sketch,
    scaled,
    total,
)

FLAT = encode_sketch(np.ones(BUCKETS))
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


def manifest(sketch: str = FLAT, *entries: dict[str, Any]) -> Manifest:
    plain = manifest_plain()
    footprint = [{**ENTRY, **entry} for entry in entries] or plain["footprint"]
    return parse_manifest(json.canonical({**plain, "sketch": sketch, "footprint": footprint}))


def sketch(delta: np.ndarray) -> tuple[float, ...]:
    sketcher = Sketcher("t")
    sketcher.add(delta.astype(np.float64))
    return read_sketch(encode_sketch(sketcher.buckets))


@given(floats, floats)
def test_sketch_encoding_round_trips(one: float, other: float) -> None:
    values = (one, other) * (BUCKETS // 2)
    assert read_sketch(encode_sketch(np.array(values))) == values


@pytest.mark.parametrize(("text", "said"), [
    ("", "has 0 characters"),
    (FLAT + "AAAA", "expected 1368 for 256 numbers"),
    (FLAT[:-4] + "é===", "not base64"),
    ("!" * len(FLAT), "not base64"),
    (base64.b64encode(bytes(1025)).decode(), "not base64 of float32"),
    (base64.b64encode(struct.pack("<256f", *[float("nan")] * 256)).decode(), "not finite"),
    (base64.b64encode(struct.pack("<256f", 0, float("inf"), *[0] * 254)).decode(), "not finite"),
])  # fmt: skip
def test_unusable_sketch_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        read_sketch(text)


def test_footprint_with_a_zero_sketch_is_refused() -> None:
    with pytest.raises(SpecError, match="is zero"):
        delta_of(manifest(encode_sketch(np.zeros(BUCKETS))))


def test_delta_of_includes_only_additive_tensors() -> None:
    found = delta_of(manifest(
        FLAT,
        {"tensor": "a", "shape": [3, 5]},
        {"tensor": "b", "dtype": "I64"},
        {"tensor": "c", "change": "added", "leaf": None},
        {"tensor": "d", "codec": "zero"},
    ))  # fmt: skip
    assert found.elements == {"a": 15}


def test_pack_that_only_adds_tensors_has_an_empty_delta() -> None:
    empty = encode_sketch(np.zeros(BUCKETS))
    found = delta_of(manifest(empty, {"change": "added", "leaf": None}))
    assert (found.elements, any(found.sketch)) == ({}, False)


def test_overlap_is_the_share_of_the_smaller_footprint() -> None:
    both = delta_of(manifest(FLAT, {"tensor": "a", "shape": [90]}, {"tensor": "b", "shape": [10]}))
    one = delta_of(manifest(FLAT, {"tensor": "b", "shape": [10]}, {"tensor": "c", "shape": [30]}))
    other = delta_of(manifest(FLAT, {"tensor": "d"}))
    nothing = delta_of(manifest(FLAT, {"change": "added", "leaf": None}))
    assert overlap(both, one) == overlap(one, both) == 0.25
    assert overlap(both, both) == 1.0
    assert overlap(both, other) == overlap(both, nothing) == 0.0


def test_sketches_are_linear() -> None:
    random = np.random.default_rng(3)
    one, other = random.normal(size=(2, 5000))
    summed = total([scaled(sketch(one), 0.5), sketch(other)])
    assert np.allclose(summed, sketch(0.5 * one + other), atol=1e-4)
    assert total([]) == (0.0,) * BUCKETS
    assert scaled(summed, 1.0) is summed


@pytest.mark.parametrize("true", [-0.7, 0.0, 0.3, 0.9])
def test_cosine_states_its_standard_error_correctly(true: float) -> None:
    random = np.random.default_rng(11)
    off, claimed = [], []
    for _ in range(60):
        one, noise = random.normal(size=(2, 40_000))
        found, error = cosine(sketch(one), sketch(true * one + (1 - true**2) ** 0.5 * noise))
        off.append(found - true)
        claimed.append(error)
    spread = float(np.sqrt(np.mean(np.square(off))))
    assert 0.7 * spread < np.mean(claimed) < 1.5 * spread


def test_cosine_error_is_larger_if_few_buckets_have_the_energy() -> None:
    random = np.random.default_rng(5)
    one, other = random.normal(size=(2, BUCKETS))
    spiky = [np.where(np.arange(BUCKETS) < 8, 30 * each, each) for each in (one, other)]
    flat, few = cosine(tuple(one), tuple(other)), cosine(tuple(spiky[0]), tuple(spiky[1]))
    assert few[1] > 2 * flat[1]


def test_cosine_is_one_with_itself_and_zero_with_zero() -> None:
    one = sketch(np.arange(1000.0))
    found, error = cosine(one, one)
    assert found == pytest.approx(1.0)
    assert error == pytest.approx(0.0, abs=1e-9)
    assert cosine(one, (0.0,) * BUCKETS) == (0.0, 1.0)


def test_cosine_of_extreme_numbers_does_not_overflow() -> None:
    largest, smallest = (3.4e38,) * BUCKETS, (1.5e-45,) * BUCKETS
    found, error = cosine(largest, smallest)
    assert found == pytest.approx(1.0)
    assert error == pytest.approx(0.0, abs=1e-9)
    assert dot(largest, largest) < float("inf")
