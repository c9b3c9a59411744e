"""The benchmarks of resolution at small size: they run, and their claims hold."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.commands import oracle, resolution, resolvers, upgrade


def test_random_graphs_are_judged_like_a_sat_solver() -> None:
    total = sum((oracle.judge(seed) for seed in range(120)), start=Counter[str]())
    assert total["graphs"] == 120
    assert 20 < total["satisfiable"] < 100
    for wrong in ("false no", "false yes", "invalid", "gave up"):
        assert total[f"skillpm {wrong}"] == 0


def test_registry_is_read_in_one_query_per_level_and_the_peer_agrees(tmp_path: Path) -> None:
    resolution.make_registry(tmp_path / "registry", 40)
    few = resolution.measure(tmp_path / "registry", 40, 5, 30, 0)
    every = resolution.measure(tmp_path / "registry", 40, 40, 30, 0)
    assert few["queries"] == few["levels"] <= 6
    assert every["queries"] == every["levels"] == 1
    assert few["answer"] == few["peer_answer"]
    assert every["answer"] == every["peer_answer"] == 40


def test_fresh_process_gives_a_row(tmp_path: Path) -> None:
    resolution.make_registry(tmp_path / "registry", 20, "dense")
    row = resolution.row_of(tmp_path / "registry", 20, 5, 1, 30)
    assert len(row) + 1 == len(resolution.HEAD)
    assert row[:2] == (20, 5)


def test_peer_over_its_time_limit_is_stopped() -> None:
    with resolvers.limited(1), pytest.raises(resolvers.OutOfTimeError):
        threading.Event().wait(60)


@pytest.mark.slow
def test_upgrade_fetches_only_missing_blobs(tmp_path: Path) -> None:
    found = upgrade.measure(tmp_path, 16, ())
    assert found.fetched == found.grown == found.bound
    assert found.fetched < found.after * 0.6
    assert found.stored < found.before + found.after
