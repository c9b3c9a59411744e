from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peer_worlds import make_task
from tiny_models import VOCABULARY

from benchmarks.finetunes.catalogue import FineTune
from benchmarks.finetunes.measure_causal import CausalEvaluator
from benchmarks.peers.compression import Bench, next_size
from benchmarks.peers.report import compared, draw, duel, enough
from benchmarks.peers.results import Results, Row

ROW = Row("lm-x-0", "d", "causal", 0, "lora", "1x", 1000, 20_000, 0.9, 1.0, {"kl": 0.1})


class Tiny(FineTune):
    """A fine-tune that is measured on random tokens."""

    def evaluator(self) -> CausalEvaluator:
        rows = torch.randint(VOCABULARY, (4, 16), generator=torch.Generator().manual_seed(1))
        return CausalEvaluator(base=self.base, tuned=self.tuned, rows=rows)


def test_rows_are_measured_once_and_shown_in_tables_and_a_plot(tmp_path: Path) -> None:
    task = make_task(tmp_path)
    tune = Tiny("lm-x-0", "causal", "x", 0, task.base, task.tuned, task.calibration, 1.0)
    methods = ["recipe", "bitdelta", "magnitude"]
    for _ in range(2):
        results = Results(tmp_path / "rows.jsonl")
        Bench(tune, results, tmp_path / "scratch").compare(methods, ["1x", "0.5x"])
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    rows = results.of({"lm-x-0": Bench(tune, results, tmp_path).digest})
    keys = [(row.method, row.budget) for row in rows]
    assert len(lines) == len(rows) == 5
    assert keys == [("recipe", "own"), ("recipe", "0.5x"), ("bitdelta", "own"),
                    ("magnitude", "1x"), ("magnitude", "0.5x")]  # fmt: skip
    shown = "".join(t.markdown() for t in (*compared(rows, methods), duel(rows)))
    assert "magnitude" in shown
    assert f"{rows[0].kept:.2%}" in shown
    pytest.importorskip("matplotlib")
    draw(rows, methods, tmp_path / "images" / "plot.png")
    assert (tmp_path / "images" / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_truncated_row_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    results = Results(path)
    results.add(ROW)
    results.add(replace(ROW, budget="0.5x"))
    path.write_text(path.read_text()[:-20])
    again = Results(path)
    assert [row.budget for row in again.of({"lm-x-0": "d"})] == ["1x"]
    again.add(replace(ROW, budget="0.5x"))
    assert len(Results(path).of({"lm-x-0": "d"})) == 2


def test_rows_of_other_weights_are_not_shown(tmp_path: Path) -> None:
    results = Results(tmp_path / "rows.jsonl")
    results.add(ROW)
    assert results.of({"lm-x-0": "other"}) == []
    assert results.find(("lm-x-0", "other", "lora", "1x")) is None


def test_dropped_methods_are_removed_from_the_file(tmp_path: Path) -> None:
    results = Results(tmp_path / "rows.jsonl")
    results.add(ROW)
    results.add(replace(ROW, method="dare"))
    results.drop("lm-x-0", ["lora"])
    assert [row.method for row in Results(tmp_path / "rows.jsonl").of({"lm-x-0": "d"})] == ["dare"]


def test_next_size_narrows_the_bracket_until_it_converges() -> None:
    def kept(size: int) -> float:
        return 1 - 20 / size

    rows = [replace(ROW, bytes=1000, kept=kept(1000))]
    steps = 0
    while (size := next_size(rows, 20_000)) is not None:
        rows.append(replace(ROW, bytes=size, kept=kept(size)))
        steps += 1
    least = min(row.bytes for row in rows if row.kept >= 0.99)
    assert steps <= 5
    assert 2000 <= least <= 2060


def test_next_size_ends_at_the_size_of_the_dense_delta() -> None:
    assert next_size([replace(ROW, bytes=20_000)], 20_000) is None
    assert next_size([], 20_000) == 2000


def test_enough_shows_the_size_only_if_every_seed_reaches_it() -> None:
    fine = replace(ROW, kept=0.995, budget="keep99-1", bytes=3000)
    other = replace(fine, finetune="lm-x-1", seed=1)
    reached = next(iter(enough([ROW, fine, other], ["lora"]))).markdown()
    missed = next(iter(enough([ROW, fine, replace(other, kept=0.9)], ["lora"]))).markdown()
    assert "3.0 ± 0.0" in reached
    assert "not reached" in missed
