import io
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from llm_worlds import TASK, TUNE, make_cache
from safetensors.torch import load_file

import skillpm
from benchmarks.ablation import dependent, trellis
from benchmarks.ablation.factored_delta import (
    By,
    DenseDelta,
    LowRankDelta,
    ScaledTensor,
    decoded,
    low_rank,
)
from benchmarks.ablation.factors import FactorBytes, integers_of, table
from benchmarks.ablation.refinement import Refinement, Teacher, least_squares, text_rows
from benchmarks.ablation.scales import Experiment
from benchmarks.finetunes import causal
from benchmarks.llm.places import WEIGHTS, calibration, model
from skillpm.archive.reader import open_pack
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.auto.decoded import tensors_of
from skillpm.delta.codecs.grid import CodedGrid
from skillpm.delta.codecs.shared.coded import encode_matrix
from skillpm.delta.codecs.shared.forms import IntegerFactors
from skillpm.delta.codecs.svd_ec import CodedFactors
from skillpm.delta.codecs.svd_ec_grid import CodedHybrid
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
from skillpm.flows.packs.composition import opened
from skillpm.spec.dtypes import TensorSpec

SPEC = TensorSpec("w", "BF16", (40, 24))
STEPS = 8


class Held(bytes):
    """Bytes that are read as a file."""

    @property
    def size(self) -> int:
        return len(self)

    def read(self, start: int, stop: int) -> bytes:
        return self[start:stop]


def coded_factors() -> CodedFactors:
    random = np.random.default_rng(3)
    left, right = (random.integers(-6, 7, (side, 3)).astype(np.int32) for side in SPEC.shape)
    ranks, rows, columns = (
        random.integers(-20, 0, size).astype(np.int32) for size in (3, *SPEC.shape)
    )
    return CodedFactors(left, right, ranks, rows, columns, 2)


def coded_grid() -> CodedGrid:
    codes = np.random.default_rng(4).integers(-1, 2, SPEC.shape).astype(np.int32)
    return CodedGrid(codes, np.array([0.1, 0.1, 0.2, 0.3, 0.4]), None, None, 2)


def written(coded: CodedFactors | CodedGrid | CodedHybrid) -> PayloadReader:
    writer, file = PayloadWriter(io.BytesIO()), io.BytesIO()
    coded.write(SPEC, writer)
    writer.write_to(file)
    return PayloadReader(Held(file.getvalue()), "a layer")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cache(tmp_path_factory.mktemp("ablation"))


@pytest.fixture(scope="module")
def pack(cache: Path) -> Path:
    """A lossy pack of the fine-tune."""
    file = cache / "lossy.skillpack"
    base, tuned = (model(cache, name) for name in ("base", TUNE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKILLPM_HOME", str(cache / "home"))
        patch.setenv("SKILLPM_KERNELS", "numpy")  # nothing to compile
        packed = skillpm.pack(
            base, tuned, name="acme/lossy", version="1.0.0", output=file, keep=0.6
        )
    return packed.path


def test_only_the_integers_of_factors_are_counted() -> None:
    factors = coded_factors()
    expected = len(encode_matrix(factors.left)) + len(encode_matrix(factors.right))
    hybrid = CodedHybrid(factors, coded_grid())
    assert integers_of(SPEC, written(factors), "svd-ec") == expected
    assert integers_of(SPEC, written(hybrid), "svd-ec+grid") == expected
    assert integers_of(SPEC, written(coded_grid()), "grid") == 0


def test_the_share_of_factors_is_that_of_a_pack(pack: Path) -> None:
    found = FactorBytes.of(pack)
    (opened_pack,) = opened([open_pack(pack)])
    assert found.tensors.total() == len(opened_pack.entries)
    assert 0 <= found.factors.total() < found.parts < pack.stat().st_size
    assert found.share == found.factors.total() / found.parts
    assert str(found.parts) in table([pack]).markdown()


@pytest.mark.parametrize("count", [1, 6])
def test_gradients_of_dense_factors_are_those_of_the_weights(count: int) -> None:
    check_gradients(DenseDelta(torch.randn(6, 4), by_row=count > 1), count)


def test_gradients_of_ranks_are_those_of_the_weights() -> None:
    check_gradients(LowRankDelta(torch.randn(6, 3), torch.randn(3, 4)), 3)


def check_gradients(delta: DenseDelta | LowRankDelta, count: int) -> None:
    factors = torch.rand(count, 1, requires_grad=True)
    weights = delta.scaled(factors)
    weights.retain_grad()
    weights.sin().sum().backward()
    assert delta.count == count
    assert weights.grad is not None
    torch.testing.assert_close(delta.pull(weights.grad), factors.grad)


def test_ranks_with_factors_of_one_give_the_decoded_delta() -> None:
    factors = coded_factors()
    left, right = (side.astype(np.int8) for side in (factors.left, factors.right))
    assert factors.rows is not None
    assert factors.columns is not None
    scales = (2.0 ** (logs / 4) for logs in (factors.ranks, factors.rows, factors.columns))
    delta = low_rank(IntegerFactors(left, right, *scales))
    expected = torch.from_numpy(factors.decoded_delta()).float()
    torch.testing.assert_close(delta.scaled(torch.ones(3, 1)), expected)


def test_least_squares_find_a_factor_that_was_removed() -> None:
    base, delta = torch.zeros(5, 4), torch.randn(5, 4)
    scaled = ScaledTensor(base, DenseDelta(delta))
    assert least_squares(scaled, 1.25 * delta, torch.ones(5)) == pytest.approx(1.25)
    bent = delta * torch.tensor([[1.0], [3.0], [3.0], [3.0], [3.0]])
    first_alone = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])
    assert least_squares(scaled, bent, first_alone) == pytest.approx(1.0)


def test_refinement_restores_deltas_that_are_too_short(cache: Path) -> None:
    before, after = (load_file(model(cache, name) / WEIGHTS) for name in ("base", TUNE))
    found = {
        name: ScaledTensor(
            before[name].float(), DenseDelta((after[name] - before[name]).float() / 2)
        )
        for name in after
        if after[name].ndim == 2 and not torch.equal(after[name], before[name])
    }
    loaded = causal.load(model(cache, TUNE))
    rows = torch.randint(96, (2, 24)).repeat(STEPS, 1)
    teacher = Teacher.of(loaded, rows)
    refinement = Refinement(found, loaded)
    losses = refinement.fit(teacher, 0.2)
    assert losses[-1] < 0.5 * losses[0]
    assert torch.cat([one.view(-1) for one in refinement.factors.values()]).mean() > 1.1


def test_text_is_cut_into_rows_of_equal_length(cache: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model(cache, "base"))
    rows = text_rows(tokenizer, calibration(cache, TASK), 3, 256)
    assert rows.shape == (3, 256)


@pytest.mark.parametrize("by", ["tensor", "rank", "row"])
def test_weights_with_factors_of_one_are_those_of_the_pack(cache: Path, pack: Path, by: By) -> None:
    base = open_checkpoint(model(cache, "base"))
    (opened_pack,) = opened([open_pack(pack)])
    found = dict(decoded(opened_pack, base, load_file(model(cache, "base") / WEIGHTS), by))
    state = tensors_of(base, base.specs, opened_pack)
    assert found
    for name, one in found.items():
        weights = one.weights(torch.ones(one.delta.count, 1)).float()
        torch.testing.assert_close(weights, state[name], rtol=2**-7, atol=1e-6)


def test_all_candidates_of_a_pack_are_measured(cache: Path, pack: Path) -> None:
    arguments = Namespace(
        cache=cache, tune=TUNE, documents=6, tokens=16, steps=1, rate=0.05, by="tensor"
    )
    made = Experiment.of(arguments).table(pack)
    assert [row[0] for row in made.rows] == ["1", "refined", "least squares"]
    assert made.rows[1][3] != made.rows[0][3]


def gaussian() -> np.ndarray:
    """Columns of standard deviations 2 and 4, in steps."""
    drawn: np.ndarray = np.random.default_rng(5).normal(size=(300, 24))
    drawn *= np.repeat([2.0, 4.0], 12)
    return drawn


def test_levels_of_a_trellis_follow_the_states() -> None:
    coded = trellis.decode(np.array([[1, 0], [1, 3], [-2, 2]]))
    assert coded.quantisers.tolist() == [[0, 0], [0, 0], [1, 0]]
    assert coded.values.tolist() == [[2.0, 0.0], [2.0, 6.0], [-3.0, 4.0]]


def test_a_trellis_without_a_price_is_nearer_than_one_quantiser() -> None:
    values = gaussian()
    bits = np.zeros((1, 2, 2 * trellis.TOP + 1))
    coded = trellis.encode(values, bits, np.zeros(24, dtype=np.int64), 0.0)
    error = np.square(values - coded.values).mean()
    assert trellis.decode(coded.levels).values.tolist() == coded.values.tolist()
    assert error < 0.9 * np.square(values - 2 * np.rint(values / 2)).mean()


def test_a_trellis_saves_bits_of_gaussian_columns() -> None:
    values = gaussian()
    line = [dependent.curve_point([values], finer) for finer in (0.5, 0.7, 1.0, 1.4, 2.0)]
    bits, error = dependent.dependent(values)
    assert 0.85 < bits / dependent.bits_at(line, error) < 0.98


def test_bits_between_two_steps_are_interpolated() -> None:
    line = [(8.0, 1.0), (4.0, 4.0), (2.0, 16.0)]
    assert dependent.bits_at(line, 2.0) == pytest.approx(6.0)
    assert dependent.bits_at(line, 16.0) == pytest.approx(2.0)
    assert np.isnan(dependent.bits_at(line, 17.0))


def test_factors_of_a_delta_restore_it() -> None:
    delta, step = torch.randn(12, 8), 1e-3
    left, right = (torch.from_numpy(side).float() for side in dependent.factors_of(delta, step))
    sigma = torch.linalg.svdvals(delta)
    torch.testing.assert_close((left / sigma) @ right.T * step**2, delta, rtol=1e-3, atol=1e-3)
