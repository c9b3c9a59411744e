"""Factors add what the decoded delta would add, for every kind of module."""

from collections.abc import Callable
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from skillpm.delta.codecs import svd
from skillpm.delta.codecs.shared.forms import NoChange, SparseEntries
from skillpm.delta.codecs.svd import Columns
from skillpm.delta.codecs.svd_ec import CodedFactors, SvdEcDecoder
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.live.factors import LowRankUpdate, factors_of
from skillpm.spec.dtypes import TensorSpec

SPEC = TensorSpec("t", "F32", (24, 10))


def _reader(writer: PayloadWriter) -> PayloadReader:
    sink = BytesIO()
    writer.write_to(sink)
    data = sink.getvalue()
    return PayloadReader(SimpleNamespace(size=len(data), read=lambda a, b: data[a:b]), "a layer")


def _coded(*, scaled: bool) -> SvdEcDecoder:
    random = np.random.default_rng(0)
    integers = [random.integers(-9, 9, (size, 3)).astype(np.int32) for size in SPEC.shape]
    logs = [random.integers(-20, 5, size).astype(np.int32) for size in (3, *SPEC.shape)]
    left, right = integers
    rows, columns = (logs[1], logs[2]) if scaled else (None, None)
    coded = CodedFactors(left, right, logs[0], rows, columns, 2)
    writer = PayloadWriter(BytesIO())
    record = coded.write(SPEC, writer)
    return SvdEcDecoder(SPEC, _reader(writer), record.settings)


def _singular() -> svd.SvdDecoder:
    random = np.random.default_rng(1)
    left, sigma, right = np.linalg.svd(1e-3 * random.normal(size=SPEC.shape), full_matrices=False)
    made = svd.SingularFactors(left[:, :4], sigma[:4], right[:4])
    writer = PayloadWriter(BytesIO())
    record: Record = svd.encode(SPEC, made, [Columns(8, 1), Columns(3, 3)], group=8, writer=writer)
    return svd.SvdDecoder(SPEC, _reader(writer), record.settings)


def _factors(decoder: Any, weight: float, dtype: torch.dtype) -> LowRankUpdate:
    updates = factors_of(decoder.live_form(), weight, dtype)
    assert updates is not None
    (update,) = updates
    return update


CASES: dict[str, Callable[[], Any]] = {
    "svd-ec": lambda: _coded(scaled=True),
    "svd-ec without scales": lambda: _coded(scaled=False),
    "svd": _singular,
}


@pytest.mark.parametrize("name", CASES)
def test_factors_equal_the_decoded_delta_at_its_weight(name: str) -> None:
    decoder = CASES[name]()
    delta = torch.from_numpy(decoder.delta_of(0).reshape(SPEC.shape)) * 0.5
    made = _factors(decoder, 0.5, torch.float32)
    wide, tall = torch.randn(2, 5, 10), torch.randn(2, 5, 24)
    ids = torch.tensor([[3, 0, 23], [7, 7, 1]])
    near: Any = {"rtol": 1e-4, "atol": 1e-4 * float(delta.abs().max())}
    assert torch.allclose(made.linear(wide), (wide.double() @ delta.T).float(), **near)
    assert torch.allclose(made.conv1d(tall), (tall.double() @ delta).float(), **near)
    assert torch.allclose(made.embedding(ids), delta[ids].float(), **near)


def test_coded_factors_use_one_byte_per_entry() -> None:
    made = _factors(_coded(scaled=True), 1.0, torch.float32)
    assert made.left.dtype == made.right.dtype == torch.int8
    assert sum(value.nbytes for value in made.tensors) == 3 * (24 + 10) + 4 * (3 + 24 + 10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_factors_lose_only_their_own_precision(dtype: torch.dtype) -> None:
    decoder = _singular()
    delta = torch.from_numpy(decoder.delta_of(0).reshape(SPEC.shape))
    made = _factors(decoder, 1.0, dtype)
    assert made.left.dtype == dtype
    found = made.left.double() @ made.right.double()
    assert (found - delta).abs().max() < 2**-6 * delta.abs().max()


def test_outputs_of_wider_factors_are_rounded_once() -> None:
    made = LowRankUpdate(torch.ones(3, 1), torch.full((1, 2), 2**-9), 1.0)
    found = made.linear(torch.ones(1, 2, dtype=torch.bfloat16))
    assert found.dtype == torch.float32
    assert found.tolist() == [[2**-8] * 3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_in_place_update_equals_an_update_of_a_copy(kind: str, dtype: torch.dtype) -> None:
    chance = torch.Generator().manual_seed(0)
    sides = (torch.randn(size, generator=chance).to(dtype) for size in ((24, 3), (3, 10)))
    left, right = sides
    made = LowRankUpdate(left, right, 0.5)
    width, depth = (10, 24) if kind == "linear" else (24, 10)
    values = torch.randn(2, 5, width, generator=chance).to(dtype)
    out = torch.randn(2, 5, depth, generator=chance).to(dtype)
    expected = out.double() + getattr(made, kind)(values.double())
    assert made.fits(out, values, kind)
    made.into(out, values, kind)
    near = 1e-5 if dtype == torch.float32 else 0.05
    assert torch.allclose(out.double(), expected, rtol=near, atol=near)


def test_in_place_update_requires_one_product_in_one_dtype() -> None:
    plain, wide = LowRankUpdate(torch.ones(3, 1), torch.ones(1, 2), 1.0), torch.ones(4, 3)
    values = torch.ones(4, 2)
    assert plain.fits(wide, values, "linear")
    assert not plain.fits(wide, values, "embedding")
    assert not plain.fits(wide.T.contiguous().T, values, "linear")
    assert not plain.fits(wide.bfloat16(), values.bfloat16(), "linear")
    coded = _factors(_coded(scaled=True), 1.0, torch.float32)
    assert not coded.fits(torch.ones(4, 24), torch.ones(4, 10), "linear")


def test_factors_of_returns_updates_only_for_products() -> None:
    assert factors_of(NoChange(), 1.0, torch.float32) == ()
    entries = SparseEntries(lambda: pytest.fail("a form is read only where it runs"))
    assert factors_of(entries, 1.0, torch.float32) is None
