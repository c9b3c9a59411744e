import itertools
from collections.abc import Callable

import merging_papers as papers
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.merging import methods, selection
from skillpm.delta.merging.dare import draws
from skillpm.delta.merging.methods import METHODS, merge
from skillpm.delta.merging.vectors import Vector
from skillpm.errors import SpecError
from skillpm.spec import merging as words
from skillpm.spec.merging import Merging

TENSOR = "layers.0.attn.q_proj.weight"
Numbers = np.ndarray


def _deltas(count: int, size: int, seed: int) -> Numbers:
    """Make deltas like those of fine-tunes: small and heavy-tailed, one of them with many zeros."""
    chance = np.random.default_rng(seed)
    deltas = chance.standard_t(3, size=(count, size)) * 0.01
    deltas[0, ::3] = 0.0
    return deltas


def _vectors(deltas: Numbers, weights: tuple[float, ...] = ()) -> list[Vector]:
    weights = weights or (1.0,) * len(deltas)
    return [
        Vector.of(f"acme/p{n}", weight, delta)
        for n, (delta, weight) in enumerate(zip(deltas, weights, strict=True))
    ]


def merged(vectors: list[Vector], merging: Merging, tensor: str) -> Numbers:
    return np.concatenate([np.zeros(0), *merge(vectors, merging, tensor)])


def _paper(method: str, deltas: Numbers, density: float) -> torch.Tensor:
    vectors = torch.from_numpy(deltas)
    if method == "dare":
        drawn = [draws(0, f"acme/p{n}", TENSOR, deltas.shape[1]) for n in range(len(deltas))]
        level = round(density * 65536)
        masks = torch.from_numpy(np.stack(drawn).astype(np.int64)) < level
        return papers.dare(vectors, masks, level / 65536)
    oracle: Callable[[torch.Tensor, float], torch.Tensor] = getattr(papers, method)
    return oracle(vectors, density)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("density", [0.07, 0.2, 0.5])
def test_method_matches_the_formula_of_its_paper(method: str, count: int, density: float) -> None:
    deltas = _deltas(count, 30_011, seed=count)
    found = merged(_vectors(deltas), Merging(method, {"density": density}), TENSOR)
    assert papers.close(found, _paper(method, deltas, density))


def test_every_method_of_the_vocabulary_is_implemented() -> None:
    assert set(METHODS) == set(words.METHODS) - {"sum"}


@pytest.mark.parametrize("method", METHODS)
def test_scale_multiplies_the_merged_vector(method: str) -> None:
    vectors = _vectors(_deltas(3, 500, seed=1))
    plain = merged(vectors, Merging(method), TENSOR)
    assert (merged(vectors, Merging(method, {"scale": 0.25}), TENSOR) == plain * 0.25).all()


@pytest.mark.parametrize("method", METHODS)
def test_common_weight_multiplies_the_merged_vector(method: str) -> None:
    deltas = _deltas(3, 500, seed=1)
    plain = merged(_vectors(deltas), Merging(method), TENSOR)
    half = merged(_vectors(deltas, (0.5, 0.5, 0.5)), Merging(method), TENSOR)
    assert (half == plain * 0.5).all()
    less = merged(_vectors(deltas, (1.0, 0.5, 1.0)), Merging(method), TENSOR)
    assert not (less == plain).all()


@pytest.mark.parametrize("method", METHODS)
def test_unchanged_elements_merge_to_negative_zero(method: str) -> None:
    deltas = np.zeros((2, 64))
    deltas[:, :8] = [[0.5], [0.25]]
    found = merged(_vectors(deltas), Merging(method, {"density": 1.0}), TENSOR)
    rest = found[8:]
    assert (rest == 0.0).all()
    assert np.signbit(rest).all()


@pytest.mark.parametrize("method", METHODS)
def test_merge_does_not_modify_its_vectors(method: str) -> None:
    deltas = _deltas(3, 100, seed=4)
    before = deltas.copy()
    merged(_vectors(deltas, (0.5, 1.0, -1.0)), Merging(method), TENSOR)
    assert (deltas == before).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [0, 1, 2, 5])
def test_tensors_of_few_elements_are_merged(method: str, size: int) -> None:
    deltas = np.full((3, size), 0.5)
    found = merged(_vectors(deltas), Merging(method, {"density": 1.0}), TENSOR)
    assert (found == (1.5 if method == "dare" else 0.5)).all()
    assert found.shape == (size,)


def test_ties_keeps_the_first_of_equal_elements() -> None:
    deltas = np.array([[1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 2.0]])
    found = merged(_vectors(deltas), Merging("ties", {"density": 0.5}), TENSOR)
    assert found.tolist() == [1.0, -1.0, 0.0, 2.0]


def test_ties_elects_by_weighted_size_and_averages_the_agreeing_vectors() -> None:
    deltas = np.array([[3.0], [1.0], [-5.0]])
    all_in = Merging("ties", {"density": 1.0})
    assert merged(_vectors(deltas), all_in, TENSOR).tolist() == [-5.0]
    assert merged(_vectors(deltas, (1.0, 1.0, 0.5)), all_in, TENSOR).tolist() == [2.0]
    assert merged(_vectors(np.array([[1.0], [-1.0]])), all_in, TENSOR).tolist() == [0.0]


def test_sce_keeps_all_elements_if_the_vectors_agree() -> None:
    deltas = np.array([[0.5, -0.25, 1.0]] * 2)
    found = merged(_vectors(deltas), Merging("sce", {"density": 0.1}), TENSOR)
    assert found.tolist() == [0.5, -0.25, 1.0]


def test_sce_weighs_by_the_squares_of_the_selected_elements() -> None:
    deltas = np.array([[3.0, 0.0], [1.0, 0.0]])
    found = merged(_vectors(deltas), Merging("sce", {"density": 1.0}), TENSOR)
    assert found.tolist() == pytest.approx([(9 * 3 + 1 * 1) / 10, 0.0], rel=1e-15)


@pytest.mark.parametrize("power", [-500, 600])
def test_sce_is_equivariant_to_powers_of_two(power: int) -> None:
    deltas = _deltas(3, 200, seed=5)
    plain = merged(_vectors(deltas), Merging("sce"), TENSOR)
    moved = merged(_vectors(np.ldexp(deltas, power)), Merging("sce"), TENSOR)
    assert (np.ldexp(moved, -power) == plain).all()


def test_pcb_merges_dropped_elements_to_zero() -> None:
    chance = np.random.default_rng(3)
    deltas = chance.normal(size=(2, 1000)) * 0.01
    found = merged(_vectors(deltas), Merging("pcb", {"density": 0.05}), TENSOR)
    assert 50 <= np.count_nonzero(found) <= 100


def test_dare_draws_depend_on_seed_skill_tensor_and_position_alone() -> None:
    size = 3 * 16 + 5
    one = draws(0, "acme/a", TENSOR, size)
    assert (draws(0, "acme/a", TENSOR, 7) == one[:7]).all()
    others = [(1, "acme/a", TENSOR), (0, "acme/b", TENSOR), (0, "acme/a", "lm_head.weight")]
    assert all((draws(*other, size) != one).any() for other in others)


def test_dare_draws_are_consistent_across_chunks() -> None:
    size = (1 << 20) + 40
    found = draws(7, "acme/a", TENSOR, size)
    assert found[-40:].tolist() == draws(7, "acme/a", TENSOR, size + 100)[size - 40 : size].tolist()
    assert abs(float((found < 6554).mean()) - 0.1) < 0.002


def test_dare_keeps_the_mean_of_a_delta() -> None:
    deltas = np.full((2, 200_000), 0.5)
    found = merged(_vectors(deltas), Merging("dare", {"density": 0.1}), TENSOR)
    assert abs(found.mean() - 1.0) < 0.02


names = st.sampled_from(sorted(METHODS))


@given(names, st.integers(2, 4), st.integers(1, 60), st.integers(0, 99), st.floats(0.01, 1.0))
def test_merged_values_are_finite_and_bounded_by_the_sum_of_sizes(
    method: str, count: int, size: int, seed: int, density: float
) -> None:
    deltas = _deltas(count, size, seed)
    found = merged(_vectors(deltas), Merging(method, {"density": density}), TENSOR)
    bound = np.abs(deltas).sum(axis=0) / (density if method == "dare" else 1.0)
    if method == "pcb":  # outliers are clipped to the smallest and the largest magnitude
        bound = bound + np.abs(deltas).max()
    assert np.isfinite(found).all()
    assert (np.abs(found) <= bound * 1.01).all()


@pytest.mark.parametrize(("settings", "problem"), [
    ({"density": 0.0}, "invalid `density` of `ties`: expected 0 < value <= 1, default 0.2"),
    ({"density": 1.5}, "found 1.5"),
    ({"density": True}, "found True"),
    ({"density": "most"}, "found 'most'"),
    ({"density": float("nan")}, "found nan"),
    ({"scale": 10**400}, "invalid `scale` of `ties`: expected .* found 1000"),
    ({"seed": 1}, r"`ties` has no setting 'seed'; known settings: `density` \(0 < value <= 1"),
])  # fmt: skip
def test_invalid_settings_are_refused_with_the_expected_values(
    settings: dict[str, float], problem: str
) -> None:
    with pytest.raises(SpecError, match=problem):
        Merging("ties", settings)


def test_unknown_method_or_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match="unknown method 'slerp'; expected one of `sum`, `ties`"):
        Merging("slerp")
    with pytest.raises(SpecError, match="`sum` has no setting 'density'; known settings: none"):
        Merging("sum", {"density": 0.5})
    with pytest.raises(SpecError, match="invalid `seed` of `dare`: expected integer, 0 <= val"):
        Merging("dare", {"seed": 0.5})


def test_merging_separates_all_settings_from_changed_ones() -> None:
    some = Merging("dare", {"density": 1, "seed": 3})
    assert some.all_settings == {"density": 1.0, "scale": 1.0, "seed": 3}
    assert some.changed_settings == {"density": 1.0, "seed": 3}
    assert Merging("task-arithmetic") == Merging("task_arithmetic") == Merging()
    assert some == Merging("dare", {"seed": 3, "density": 1.0})
    assert hash(some) == hash(Merging("dare", {"seed": 3, "density": 1.0}))
    different = [Merging(), Merging("ties"), Merging("dare"), some]
    assert all(one != other for one, other in itertools.combinations(different, 2))


def _in_blocks_of(size: int, vector: Vector) -> Vector:
    delta = np.concatenate([np.zeros(0), *vector.blocks()])
    starts = range(0, delta.size, size)
    return Vector(
        vector.skill, vector.weight, delta.size, lambda: (delta[at : at + size] for at in starts)
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("density", [0.07, 0.5, 1.0])
@pytest.mark.parametrize("steps", [None, 3], ids=["distinct", "with ties"])
def test_blocks_of_vectors_that_are_not_held_change_no_bit(
    method: str, density: float, steps: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    deltas = _deltas(3, 4_113, seed=2)
    if steps:
        deltas = np.round(deltas * 100 * steps) / (100 * steps)
    vectors = _vectors(deltas, (1.0, -0.5, 2.0))
    merging = Merging(method, {"density": density})
    whole = merged(vectors, merging, TENSOR)
    monkeypatch.setattr(methods, "HELD", 0)
    monkeypatch.setattr(selection, "_COLLECTED", 20)
    monkeypatch.setattr(selection, "_DIGIT", 10)
    blocks = [_in_blocks_of(256, vector) for vector in vectors]
    assert [block.size for block in merge(blocks, merging, TENSOR)] == [256] * 16 + [17]
    assert merged(blocks, merging, TENSOR).tobytes() == whole.tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_merge_does_not_change_how_numpy_reports_errors(method: str) -> None:
    vectors = [_in_blocks_of(8, vector) for vector in _vectors(_deltas(2, 20, seed=1))]
    before = np.geterr()
    blocks = merge(vectors, Merging(method), TENSOR)
    next(blocks)
    assert np.geterr() == before
