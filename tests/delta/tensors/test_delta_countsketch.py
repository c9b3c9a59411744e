import base64
import hashlib
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.tensors.countsketch import BLOCK, Sketcher, encode_sketch, sum_sketches
from skillpm.delta.tensors.module_kinds import block_of, kind_of
from skillpm.spec.overlap import BUCKETS

integers = st.lists(st.integers(-1000, 1000), min_size=1, max_size=300).map(
    lambda found: np.array(found * 300)[:300]
)


def _sketch(delta: np.ndarray, tensor: str = "t") -> np.ndarray:
    sketcher = Sketcher(tensor)
    sketcher.add(delta.astype(np.float64))
    return sketcher.buckets


@given(integers, integers)
def test_sketch_is_linear(one: np.ndarray, other: np.ndarray) -> None:
    assert (_sketch(one) + _sketch(2 * other) == _sketch(one + 2 * other)).all()


def test_sketch_of_block_chunks_equals_that_of_the_whole() -> None:
    delta = np.arange(2 * BLOCK + 7) % 97 - 48.0
    sketcher = Sketcher("t")
    for start in range(0, delta.size, BLOCK):
        sketcher.add(delta[start : start + BLOCK].astype(np.float64))
    assert (sketcher.buckets == _sketch(delta)).all()


def test_inner_products_of_sketches_estimate_those_of_deltas() -> None:
    random = np.random.default_rng(7)
    one = random.normal(size=3 * BLOCK)
    other = 0.6 * one + 0.8 * random.normal(size=one.size)
    a, b = _sketch(one), _sketch(other)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert abs(cosine - 0.6) < 0.2
    assert abs(_sketch(one, "other") @ a / (a @ a)) < 0.3


@given(integers, st.sampled_from([1, 255, 256, 257, 300]))
def test_zeros_after_a_tensor_do_not_change_its_sketch(delta: np.ndarray, size: int) -> None:
    small = delta[:size] / 7
    padded = np.zeros(BLOCK)
    padded[: small.size] = small
    assert _sketch(small).tobytes() == _sketch(padded).tobytes()


def test_sketch_of_a_small_tensor_hashes_only_the_signs_that_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashed: list[bytes] = []

    def counting(data: bytes) -> Any:
        hashed.append(data)
        return sha256(data)

    monkeypatch.setattr(hashlib, "sha256", counting)
    _sketch(np.ones(2 * BUCKETS))
    assert len(hashed) == 3  # two rows of signs, and the sign of the block


def test_nonfinite_values_count_as_zero() -> None:
    assert (_sketch(np.array([1.0, np.nan, np.inf])) == _sketch(np.array([1.0, 0.0, 0.0]))).all()


def test_sketch_is_encoded_as_float32_in_base64() -> None:
    total = sum_sketches({"a": _sketch(np.ones(5)), "b": _sketch(np.ones(5))})
    data = base64.b64decode(encode_sketch(total))
    assert (np.frombuffer(data, "<f4") == total).all()
    assert len(data) == 4 * BUCKETS


@pytest.mark.parametrize(("tensor", "kind", "block"), [
    ("model.embed_tokens.weight", "embedding", "model.embed_tokens"),
    ("lm_head.weight", "head", "lm_head"),
    ("model.layers.3.self_attn.q_proj.weight", "attention", "model.layers.3"),
    ("model.layers.3.mlp.down_proj.weight", "mlp", "model.layers.3"),
    ("model.layers.3.input_layernorm.weight", "norm", "model.layers.3"),
    ("encoder.layer.0.attention.output.dense.weight", "attention", "encoder.layer.0"),
    ("encoder.layer.0.output.dense.weight", "mlp", "encoder.layer.0"),
    ("encoder.layer.0.attention.output.LayerNorm.bias", "norm", "encoder.layer.0"),
    ("h.11.attn.c_attn.weight", "attention", "h.11"),
    ("h.11.ln_1.weight", "norm", "h.11"),
    ("wte.weight", "embedding", "wte"),
    ("logit_scale", "other", "logit_scale"),
])  # fmt: skip
def test_kind_and_block_are_derived_from_the_tensor_name(
    tensor: str, kind: str, block: str
) -> None:
    assert (kind_of(tensor), block_of(tensor)) == (kind, block)
