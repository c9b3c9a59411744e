"""Peers of recent papers: sizes are those of their files, and more bytes leave less error."""

import numpy as np
import pytest
import torch
from peer_worlds import distance, make_task
from safetensors.torch import load_file

from benchmarks.peers import METHODS, Task
from benchmarks.peers.adamix import columns_at, corrected, relative_errors
from benchmarks.peers.deltadct import Setting, basis, cut, joined, quantised, restored
from benchmarks.peers.dqrelo import parts_of
from benchmarks.peers.gptq import quantise_factors
from benchmarks.peers.impart import Setting as Sparse
from benchmarks.peers.impart import expected_error, kept_shares
from benchmarks.peers.magnitudes import Magnitudes, Threshold, codes_of, decoded, threshold_at
from benchmarks.peers.streams import bits_of
from benchmarks.peers.ultradelta import dropped_rates, levels_of, pruned
from skillpm.delta.codecs.shared.quantise import dequantise
from skillpm.delta.codecs.svd import ColumnGroup
from skillpm.delta.encoding.torch_svd import decompose

NEIGHBOURS = ("adamix", "impart", "ultradelta-0.5", "delta-dct", "nnc")
SMALL, LARGE = 7_500, 10_000


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return make_task(tmp_path_factory.mktemp("neighbours"))


def matrix() -> np.ndarray:
    draw = np.random.default_rng(3)
    return draw.standard_normal((40, 24)) @ draw.standard_normal((24, 56)) / 1000


def library(method: str) -> None:
    if method == "nnc":
        pytest.importorskip("nncodec.extensions", reason="NNCodec is not installed")


@pytest.mark.parametrize("method", NEIGHBOURS)
def test_more_bytes_leave_less_error(method: str, task: Task) -> None:
    library(method)
    small, large = (METHODS[method](task, budget) for budget in (SMALL, LARGE))
    assert small.bytes <= SMALL
    assert small.bytes < large.bytes <= LARGE
    if method != "ultradelta-0.5":  # it rescales what it keeps, which adds error to single values
        before = load_file(task.base / "model.safetensors")
        assert distance(large.state, task.tuned) < distance(small.state, task.tuned)
        assert distance(small.state, task.tuned) < distance(before, task.tuned)


def test_one_bit_and_a_residual_have_a_size_of_their_own(task: Task) -> None:
    own = METHODS["dqrelo"](task, None)
    higher = METHODS["dqrelo"](task, own.bytes + 10_000)
    assert own.settings["rank"] < higher.settings["rank"]
    assert own.bytes < higher.bytes <= own.bytes + 10_000
    assert distance(higher.state, task.tuned) < distance(own.state, task.tuned)
    with pytest.raises(ValueError, match="smallest"):
        METHODS["dqrelo"](task, 3_000)


def test_error_falls_with_the_rank_of_the_residual() -> None:
    delta = matrix()
    errors = []
    for rank in (1, 4, 16):
        scale, left, right = parts_of(delta, rank)
        errors.append(np.square(delta - scale * np.sign(delta) - left @ right).sum())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < np.square(delta).sum()


def test_cosines_are_orthonormal() -> None:
    waves = basis(16)
    assert np.allclose(waves @ waves.T, np.eye(16))
    assert np.allclose(waves @ np.ones(16), [4, *[0] * 15])


@pytest.mark.parametrize("side", [8, 16])
def test_patches_are_joined_again(side: int) -> None:
    delta = matrix()
    assert np.array_equal(joined(cut(delta, side), delta.shape), delta)


def test_error_of_the_cosine_transform_falls_with_bits_and_patches() -> None:
    delta = matrix()

    def error(setting: Setting) -> float:
        found = restored(quantised(delta, setting), delta.shape, setting)
        return float(np.square(delta - found).sum())

    assert error(Setting(8, 8, 1.0)) < 1e-3 * np.square(delta).sum()
    assert error(Setting(8, 8, 1.0)) < error(Setting(8, 4, 1.0)) < error(Setting(8, 2, 1.0))
    assert error(Setting(8, 4, 1.0)) < error(Setting(8, 4, 0.5)) < error(Setting(8, 4, 0.1))


def test_sparsity_falls_with_variance_and_has_the_right_mean() -> None:
    known = {"low": (0.1, 100), "middle": (0.2, 100), "high": (0.9, 100)}
    rates = dropped_rates(known, 0.9)
    assert rates["low"] > rates["middle"] > rates["high"]
    assert sum(rates.values()) / 3 == pytest.approx(0.9)


def test_every_level_loses_the_same_share() -> None:
    _, codes = levels_of(np.random.default_rng(0).standard_normal(20_000))
    kept = pruned(codes, 0.75, "name")
    zeros = np.mean(codes == 0)
    share = (1 - 0.75) / (1 - zeros)
    for level in (-2, -1, 1, 2):
        assert (kept == level).sum() == pytest.approx(share * (codes == level).sum(), abs=1)
    assert np.mean(kept == 0) == pytest.approx(0.75, abs=1e-3)


def test_larger_singular_values_keep_more_entries_and_bits() -> None:
    sigma = np.geomspace(1, 1e-3, 64)
    shares = kept_shares(sigma, Sparse(0.1, 0.4, 1.0))
    assert np.all(np.diff(shares) <= 0)
    assert shares.sum() == pytest.approx(0.1 * 64, rel=0.15)
    bits = [column.bits for column in columns_at(sigma, (64, 64), 1e-6)]
    assert bits == sorted(bits, reverse=True)
    assert len(bits) > 2


def test_expected_error_of_sparse_vectors_is_that_of_random_masks(task: Task) -> None:
    whole, none = Sparse(1.0, 1.0, 1.0), Sparse(0.02, 0.02, 1.0)
    sigma = np.geomspace(1, 1e-3, 64)
    assert expected_error(sigma, none) > expected_error(sigma, Sparse(0.2, 0.2, 1.0))
    assert expected_error(sigma, whole) < 0.3 * np.square(sigma).sum()


def test_relative_error_falls_with_the_bits() -> None:
    errors = relative_errors()
    assert [errors[bits] for bits in sorted(errors)] == sorted(errors.values(), reverse=True)


def test_correction_of_u_reduces_the_error_over_the_inputs() -> None:
    delta = matrix()
    draw = np.random.default_rng(1)
    states = draw.standard_normal((400, 56)) @ draw.standard_normal((56, 56))
    inputs = states.T @ states / 400
    factors = decompose(delta)
    columns = columns_at(factors.sigma, delta.shape, 1e-9)
    plain = quantise_factors(factors, columns, inputs, group=128, damping=0.01)

    def error(groups: list[ColumnGroup]) -> float:
        left, right = (
            np.concatenate([dequantise(side, 128) for side in sides])
            for sides in ([one.left for one in groups], [one.right for one in groups])
        )
        lost = delta - (left * factors.sigma[: len(left), None]).T @ right
        return float(np.trace(lost @ inputs @ lost.T))

    assert error(corrected(delta, factors, columns, inputs)) < error(plain)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.7])
def test_estimates_of_magnitudes_are_near_the_streams(share: float) -> None:
    lattice = np.round(np.random.default_rng(0).laplace(size=200_000)) / 256
    for delta in (np.random.default_rng(0).laplace(size=200_000), lattice):
        known = Magnitudes.of(delta)
        threshold = threshold_at([known], share)
        codes = codes_of(delta, threshold, "name")
        kept = np.count_nonzero(codes) / np.count_nonzero(delta)
        assert kept == pytest.approx(share, rel=0.05)
        assert known.bits(threshold) == pytest.approx(bits_of(codes), rel=0.05)
        assert np.abs(delta[codes == 0]).max() <= np.abs(delta[codes != 0]).min() * 1.001


def test_decoded_magnitudes_are_those_of_the_file(task: Task) -> None:
    found = METHODS["magnitude-coded"](task, SMALL)
    name = "model.layers.0.mlp.up_proj.weight"
    threshold = Threshold(found.settings["threshold"], found.settings["ties"])
    near = decoded(task.deltas[name], threshold, name)
    base = load_file(task.base / "model.safetensors")[name].double()
    wanted = (base + torch.from_numpy(near).reshape(base.shape)).to(torch.bfloat16)
    assert torch.equal(found.state[name], wanted)
    assert found.bytes <= SMALL
