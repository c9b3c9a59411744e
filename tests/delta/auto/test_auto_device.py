"""Packing on a device: where tensors are, and that the results are those of the CPU."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from auto_worlds import decaying, flat, full, pair_of, rows_of_delta, uneven
from simulated_device import NAME, SimulatedDevice

from skillpm.delta.auto import model_survey
from skillpm.delta.auto import rows as row_module
from skillpm.delta.auto.encode_choice import encode_choice
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.auto.points import EncodingChoice, Family
from skillpm.delta.auto.profile import Spectrum
from skillpm.delta.auto.rows import TensorRows
from skillpm.delta.auto.survey import survey_tensor, survey_tensors
from skillpm.delta.codecs.shared.protocol import CodedTensor
from skillpm.delta.encoding import torch_svd
from skillpm.delta.encoding.torch_device import CPU, ComputeDevice
from skillpm.delta.encoding.torch_svd import decompose
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.rounding import from_float64
from skillpm.errors import GraftError, UsageError
from skillpm.spec.dtypes import TensorSpec

STEPS: dict[Family, float] = {"grid": 0.02, "svd-ec": 0.02, "svd-ec+grid": 0.02, "sign": 0.0}
"""Steps in units of the largest singular value."""
METRICS = {"flat": flat, "full": full}


@pytest.fixture(
    params=[
        pytest.param((NAME, SimulatedDevice), id="simulated"),
        pytest.param(("cuda", nullcontext), id="cuda", marks=pytest.mark.cuda),
    ]
)
def device(request: pytest.FixtureRequest) -> Iterator[ComputeDevice]:
    """A device that is not the CPU: a simulated one, and a real one where there is one."""
    name, place = request.param
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    with place():
        yield ComputeDevice(name)


def error_of(rows: TensorRows, metric: ErrorMetric, coded: CodedTensor | None) -> float:
    """The distortion of what the decoder returns, measured on the CPU."""
    assert coded is not None
    delta = replace(rows, device=CPU).whole()
    return metric.distortion(delta - torch.from_numpy(coded.decoded_delta()).float())


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16", "F8_E4M3"])
def test_a_difference_has_the_same_bits_on_every_device(device: ComputeDevice, dtype: str) -> None:
    draw = np.random.default_rng(0)
    before, after = (from_float64(draw.standard_normal(96), dtype)[0] for _ in range(2))
    here, there = (
        each.difference(before.reshape(8, 12), after.reshape(8, 12), dtype).cpu()
        for each in (CPU, device)
    )
    assert here.shape == (8, 12)
    assert torch.equal(here.view(torch.int32), there.view(torch.int32))


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("family", STEPS)
def test_encoding_on_a_device_errs_as_encoding_on_the_cpu(
    device: ComputeDevice, family: Family, kind: str
) -> None:
    rows, metric = rows_of_delta(decaying(), dtype="BF16"), METRICS[kind]()
    whole = rows.whole()
    choice = EncodingChoice(family, STEPS[family] * float(Spectrum.of(whole, metric).sigma[0]))
    here = encode_choice(rows, metric, choice)
    there = encode_choice(replace(rows, device=device), metric, choice)
    assert error_of(rows, metric, there) == pytest.approx(error_of(rows, metric, here), rel=1e-2)
    assert there is not None
    assert here is not None
    assert there.estimate() == pytest.approx(here.estimate(), rel=1e-2)


@pytest.mark.parametrize("kind", METRICS)
def test_a_survey_on_a_device_finds_the_points_of_the_cpu(device: ComputeDevice, kind: str) -> None:
    rows, metric = rows_of_delta(decaying(), dtype="BF16"), METRICS[kind]()
    pair = pair_of(decaying())
    here = survey_tensor(pair, rows, metric)
    there = survey_tensor(pair, replace(rows, device=device), metric)
    assert here is not None
    assert there is not None
    assert there.energy == pytest.approx(here.energy, rel=1e-4)
    assert {p.choice.family for p in there.points} == {p.choice.family for p in here.points}
    for cost in (1e-9, 1e-7, 1e-5):
        costs = [min(point.cost(cost) for point in each.points) for each in (here, there)]
        assert costs[1] == pytest.approx(costs[0], rel=1e-2)


def test_a_large_tensor_is_rounded_on_the_device_block_by_block(
    device: ComputeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of_delta(uneven(), chunk=1777)
    rising = torch.linspace(1, 3, 1000)
    metric = ErrorMetric(MetricFactor.of(rising), flat((1000, 24)).columns)
    monkeypatch.setattr(row_module, "LARGE_TALL", 1 << 12)
    here, there = (
        encode_choice(replace(rows, device=each), metric, EncodingChoice("grid", 0.1))
        for each in (CPU, device)
    )
    assert here is not None
    assert there is not None
    assert np.allclose(here.decoded_delta(), there.decoded_delta(), atol=0.11)
    assert there.estimate() == pytest.approx(here.estimate(), rel=1e-2)


def test_singular_factors_of_a_device_give_the_matrix(device: ComputeDevice) -> None:
    factors = decompose(decaying(), device)
    product = (factors.left * factors.sigma) @ factors.right
    assert np.allclose(product, decaying(), atol=1e-5)


def test_first_factors_of_a_device_agree_with_all_of_them(
    device: ComputeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = decompose(decaying())
    monkeypatch.setattr(torch_svd, "DIRECT", 0)
    factors = decompose(decaying(), device, rank=3)
    assert np.allclose(factors.sigma, whole.sigma, atol=1e-5)
    expected = (whole.left[:, :3] * whole.sigma[:3]) @ whole.right[:3]
    assert np.allclose((factors.left * factors.sigma[:3]) @ factors.right, expected, atol=1e-5)


def test_the_simulated_device_computes_what_packing_asks_of_a_device() -> None:
    with SimulatedDevice() as mode:
        rows = replace(rows_of_delta(decaying()), device=ComputeDevice(NAME))
        encode_choice(rows, full(), EncodingChoice("svd-ec", 0.02))
    assert {"aten::_linalg_eigh", "aten::linalg_cholesky_ex", "aten::mm"} <= set(mode.calls)
    with SimulatedDevice(), pytest.raises(RuntimeError, match="two devices"):
        torch.ones(3).to(NAME) + torch.ones(3)


def test_tensors_that_are_surveyed_together_have_the_points_that_each_has_alone() -> None:
    deltas = [decaying(seed) for seed in range(3)]
    deltas[1][:] = 0
    tensors = [(pair_of(delta), rows_of_delta(delta), full()) for delta in deltas]
    alone = [survey_tensor(*tensor) for tensor in tensors]
    assert alone[1] is None
    assert survey_tensors(tensors) == alone


def test_an_accelerator_gets_small_tensors_of_one_shape_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_survey, "BATCH", 100)
    shapes = [(5, 8), (5, 8), (8, 5), (5, 8), (30, 30), (30, 30)]
    specs = [TensorSpec(f"w{number}", "F32", shape) for number, shape in enumerate(shapes)]
    pairs = [Pair(spec.name, spec, spec) for spec in specs]
    grouped = model_survey.batches(pairs, ComputeDevice("cuda"))
    names = [[pair.tensor for pair in batch] for batch in grouped]
    assert names == [["w0", "w1"], ["w2"], ["w3"], ["w4"], ["w5"]]
    assert model_survey.batches(pairs, CPU) == [[pair] for pair in pairs]


@pytest.mark.parametrize("name", ["", "mps", "cuda:", "cuda:x", "cuda:01", "CPU", "cuda:1;"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected `cpu`, `cuda` or `cuda:N`"):
        ComputeDevice.find(name)


def test_a_device_that_the_machine_does_not_have_is_refused() -> None:
    with pytest.raises(GraftError, match="there is no device `cuda:999`") as caught:
        ComputeDevice.find("cuda:999")
    assert caught.value.hint == "`--device cpu` works on every machine"
    assert ComputeDevice.find("cpu") == CPU


def test_too_little_memory_of_a_device_is_an_error_with_a_hint() -> None:
    with pytest.raises(GraftError, match="too little memory"), CPU.memory_errors():
        raise torch.OutOfMemoryError("CUDA out of memory")
