import numpy as np
import pytest
from both_kernels import agreed
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs.shared.context_map import choose_labels
from skillpm.delta.coding.frequency_tables import TOKENS
from skillpm.delta.coding.integers import CONTEXTS, plan_counts


def _counts(shares: list[list[int]]) -> np.ndarray:
    counts = np.zeros((len(shares), TOKENS), dtype=np.int64)
    for cell, tokens in enumerate(shares):
        counts[cell, : len(tokens)] = tokens
    return counts


def _merged(counts: np.ndarray, labels: np.ndarray) -> np.ndarray:
    merged = np.zeros((CONTEXTS, TOKENS), dtype=np.int64)
    np.add.at(merged, labels, counts)
    return merged


def test_cells_of_the_same_distribution_share_a_label() -> None:
    counts = _counts([[900, 100], [100, 900], [9000, 1000], [1000, 9000]])
    assert choose_labels(counts).tolist() == [0, 1, 0, 1]


def test_labels_ascend_with_the_mean_token() -> None:
    counts = _counts([[0, 0, 500], [0, 500, 0], [500, 0, 0]])
    assert choose_labels(counts).tolist() == [2, 1, 0]


def test_an_unused_cell_has_the_label_of_its_predecessor() -> None:
    counts = _counts([[], [0, 500], [], [], [500], []])
    assert choose_labels(counts).tolist() == [1, 1, 1, 1, 0, 0]
    assert choose_labels(_counts([[], []])).tolist() == [0, 0]


@pytest.mark.parametrize("limit", [1, 2, 5, CONTEXTS])
def test_labels_stay_below_the_limit(limit: int) -> None:
    random = np.random.default_rng(3)
    counts = random.integers(0, 5000, (100, 8)) * (random.random((100, 8)) < 0.4)
    labels = choose_labels(_counts(counts.tolist()), limit)
    assert labels.max() < limit


@given(st.lists(st.lists(st.integers(0, 1000), max_size=9), min_size=1, max_size=20))
def test_a_map_seldom_costs_more_than_one_context(shares: list[list[int]]) -> None:
    counts = _counts(shares)
    alone = plan_counts(_merged(counts, np.zeros(len(counts), dtype=np.intp))).bits
    assert plan_counts(_merged(counts, choose_labels(counts))).bits <= 1.1 * alone + 64


@given(
    st.integers(1, 60),
    st.integers(1, 20),
    st.sampled_from([1, 7, CONTEXTS]),
    st.integers(0, 99),
)
def test_both_kernels_merge_the_same_cells(cells: int, tokens: int, limit: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    counts = random.integers(0, 8, (cells, tokens)) ** random.integers(0, 5, (cells, 1))
    agreed(choose_labels, _counts(counts.tolist()), limit)


def test_as_many_cells_as_contexts_come_near_their_entropy() -> None:
    random = np.random.default_rng(4)
    kinds = random.dirichlet(np.full(16, 0.3), 40)
    cells = random.integers(0, 40, 250)
    counts = np.stack([random.multinomial(4000, kinds[cell]) for cell in cells])
    labels = choose_labels(_counts(counts.tolist()))
    assert len({(cell, label) for cell, label in zip(cells, labels, strict=True)}) == 40
