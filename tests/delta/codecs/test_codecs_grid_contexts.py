"""Contexts of `grid` from the exponents of the reference."""

import numpy as np
import pytest
from coded_worlds import written
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs.grid import CodedGrid
from skillpm.delta.codecs.grid_contexts import choose_contexts, encode_codes
from skillpm.delta.codecs.lossless_contexts import exponents_of
from skillpm.delta.codecs.shared.octaves import Octaves
from skillpm.delta.kernels.choice import SETTINGS
from skillpm.delta.tensors.rounding import from_float64, to_float64
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

SPEC = TensorSpec("t", "BF16", (600, 400))
LEVELS = np.array([0.1, 0.1, 0.2, 0.3, 0.4])


def _tune(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the exponents [m · n] of a bfloat16 tensor, and codes [m, n] of a light fine-tune."""
    random = np.random.default_rng(seed)
    before = from_float64(random.normal(size=SPEC.elements) * 0.05, "BF16")[0]
    values = to_float64(before, "BF16")
    after = from_float64(values + 2e-5 * random.laplace(size=SPEC.elements), "BF16")[0]
    codes = np.rint((to_float64(after, "BF16") - values) / 2.0**-15).astype(np.int32)
    return exponents_of(before, "BF16"), codes.reshape(SPEC.shape)


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(1, 64),
    st.sampled_from([64, 256]),
    st.lists(st.tuples(st.integers(0, 63), st.integers(0, 255)), min_size=1, max_size=30),
)
def test_a_context_is_an_octave_and_a_class(
    anchor: int, floor: int, cells: int, limit: int, entries: list[tuple[int, int]]
) -> None:
    classes, exponents = (np.array(side, dtype=np.uint8) for side in zip(*entries, strict=True))
    found = Octaves(anchor, floor, cells).contexts(classes, exponents, limit)
    expected = [
        min(max(anchor - exponent, 0), limit // cells - 1) * cells
        + min(max(number - floor, 0), cells - 1)
        for number, exponent in entries
    ]
    assert found.tolist() == expected
    assert max(expected) < limit


@pytest.mark.parametrize("data", [b"\1", b"\1\1", b"\1\1\1\1", b"\1\1\0", b"\1\1\x80", b"\1\1\x41"])
def test_octaves_of_another_form_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="`t` has unknown contexts"):
        Octaves.load(data, "`t`")


def test_octaves_come_back() -> None:
    octaves = Octaves(129, 3, 8)
    assert Octaves.load(octaves.dump(), "`t`") == octaves
    assert Octaves.load(b"", "`t`") is None


def test_a_light_fine_tune_takes_less_than_seven_tenths_under_exponents() -> None:
    exponents, codes = _tune()
    with_exponents = len(encode_codes(codes, exponents, SPEC))
    assert with_exponents < 0.7 * len(encode_codes(codes, None, SPEC))
    coded = CodedGrid(codes, LEVELS, None, None, 0, exponents)
    assert coded.estimate() == pytest.approx(len(written("grid", SPEC, coded).data), rel=0.03)


def test_exponents_that_say_nothing_are_not_used() -> None:
    random = np.random.default_rng(2)
    codes = random.integers(-3, 4, SPEC.shape).astype(np.int32)
    exponents = random.integers(118, 128, SPEC.elements).astype(np.uint8)
    assert choose_contexts(codes, exponents).octaves is None
    assert encode_codes(codes, exponents, SPEC) == encode_codes(codes, None, SPEC)


def test_rows_that_move_most_keep_a_context_of_their_own() -> None:
    exponents, codes = _tune()
    codes[:90] *= np.int32(9)
    chosen = choose_contexts(codes, exponents)
    assert chosen.octaves is not None
    assert chosen.octaves.cells > 1
    keys = chosen.of((0, SPEC.elements), SPEC.shape[1], exponents).reshape(SPEC.shape)
    cells = keys % chosen.octaves.cells
    assert cells[:90].min() > cells[90:].max()


@pytest.mark.parametrize("kind", ["numba", "numpy"])
def test_both_implementations_of_the_loops_write_the_same_bytes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exponents, codes = _tune(4)
    before = encode_codes(codes, exponents, SPEC)
    monkeypatch.setattr(SETTINGS, "demanded", kind)
    assert encode_codes(codes, exponents, SPEC) == before
