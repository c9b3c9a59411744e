from pathlib import Path

import numpy as np
import pytest
import torch
from llm_worlds import DOCUMENTS, TASK, TOKENS, TUNE, held_out, make_cache
from safetensors.torch import load_file

from benchmarks.finetunes import causal
from benchmarks.llm.documents import DocumentEvaluator, first_documents, ratio
from benchmarks.llm.fidelity import CHOSEN, Trial, methods_of
from benchmarks.llm.packed import AUTO_BEFORE, EXACT, LOSSLESS_BEFORE
from benchmarks.llm.places import model
from benchmarks.llm.settings import TUNINGS
from benchmarks.llm.tables import equal_kl, kept_table, lossless_table, needed
from benchmarks.peers.results import Results, Row
from benchmarks.tools.running import SKILLPM

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cache(tmp_path_factory.mktemp("fidelity"))


@pytest.fixture(scope="module")
def evaluator(cache: Path) -> DocumentEvaluator:
    base, tuned = model(cache, "base"), model(cache, TUNE)
    return DocumentEvaluator(base=base, tuned=tuned, rows=held_out())


def test_the_ends_keep_nothing_and_all(evaluator: DocumentEvaluator) -> None:
    assert evaluator.base.gain_kept == evaluator.base.gain_low == evaluator.base.gain_high == 0
    assert evaluator.tuned.gain_kept == evaluator.tuned.gain_low == 1
    assert evaluator.tuned.kl == pytest.approx(0, abs=1e-7)
    assert evaluator.tuned.agreement == 1
    assert evaluator.base.kl_low < evaluator.base.kl < evaluator.base.kl_high


def test_loss_and_kl_are_those_of_the_tokens_that_count(
    evaluator: DocumentEvaluator, cache: Path
) -> None:
    rows = held_out()
    counts = rows[:, 1, 1:].bool()
    base, tuned = (causal.load(model(cache, name)) for name in ("base", TUNE))
    with torch.no_grad():
        wanted = causal.losses(base, rows[:, 0])[counts].mean()
        ours, theirs = (
            one(input_ids=rows[:, 0]).logits[:, :-1][counts].double().log_softmax(-1)
            for one in (base, tuned)
        )
    assert evaluator.base.loss == pytest.approx(float(wanted), rel=1e-5)
    kl = (theirs.exp() * (theirs - ours)).sum(-1).mean()
    assert evaluator.base.kl == pytest.approx(float(kl), rel=1e-4)


def test_a_half_of_the_delta_keeps_a_part_of_the_gain(
    evaluator: DocumentEvaluator, cache: Path
) -> None:
    before, after = (load_file(model(cache, name) / WEIGHTS) for name in ("base", TUNE))
    half = {name: (one.float() + after[name].float()) / 2 for name, one in before.items()}
    found = evaluator.measure(half)
    assert 0 < found.kl < evaluator.base.kl
    assert evaluator.measure(model(cache, TUNE)) == evaluator.tuned
    assert found.gain_low < found.gain_kept < found.gain_high
    assert found.gain_error == (found.gain_high - found.gain_low) / 2


def test_documents_are_resampled_whole() -> None:
    tokens = np.array([10.0, 1000.0, 10.0, 10.0])
    same = ratio(2 * tokens, tokens)
    assert (same.value, same.low, same.high) == (2, 2, 2)
    mixed = ratio(np.array([10.0, 0.0, 10.0, 10.0]), tokens)
    assert mixed.low < 0.01 < mixed.value < 0.5 < mixed.high


def test_the_first_tokens_of_documents_with_any_that_counts() -> None:
    rows = held_out()
    rows[0, 1] = 0
    found = first_documents(rows, documents=4, tokens=8)
    assert found.shape == (4, 2, 8)
    assert torch.equal(found[0], rows[1, :, :8])
    assert torch.equal(found[-1], rows[-1, :, :8])


@pytest.mark.slow
def test_rows_are_measured_once_and_shown(cache: Path, tmp_path: Path) -> None:
    names, budget = ["lossless", "planes-zstd", "bitx", "auto", "lora"], "95%"
    for _ in range(2):
        results = Results(tmp_path / "rows.jsonl")
        methods = methods_of(names, SKILLPM)
        tuning, scratch = TUNINGS[TUNE], tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        trial = Trial(cache, tuning, results, scratch, DOCUMENTS, TOKENS, methods)
        rows = trial.measure([budget])
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == len(rows) == 9
    by_name = {row.method: row for row in rows}
    for exact in ("lossless", LOSSLESS_BEFORE, "planes-zstd", "bitx"):
        assert by_name[exact].kept == 1
    assert by_name["auto"].bytes <= 0.95 * trial.dense
    assert by_name["auto"].detail == by_name[AUTO_BEFORE].detail
    assert {row.detail["score"] for row in rows} == {0}  # the model knows no word of SQL
    assert AUTO_BEFORE in kept_table("tiny", rows).markdown()
    exact_rows = [row for row in rows if row.method in (*EXACT, LOSSLESS_BEFORE)]
    assert lossless_table("tiny", exact_rows).markdown().count("1.000") == 2


def row(method: str, size: int, kl: float, budget: str = "5%") -> Row:
    return Row(TASK, "d", "causal", 0, method, budget, size, 1000, 0.9, 1.0, {"kl": kl})


def test_bytes_at_equal_kl_lie_between_the_rows_around_it() -> None:
    rows = [
        row("auto", 100, 1e-2),
        row("lora", 100, 1e-1),
        row("lora", 400, 1e-3, "10%"),
        row("dare", 300, 1e-1),
        row("recipe", 200, 1e-3),
    ]
    lines = equal_kl("tiny", rows, "5%").markdown().splitlines()
    ratios = {cells[0]: cells[2] for cells in
              ([cell.strip() for cell in line.strip("| ").split("|")] for line in lines)
              if len(cells) == 3}  # fmt: skip
    assert ratios["auto"] == "1.000"
    assert ratios["lora"] == "0.500"
    assert ratios["dare"] == "under 0.333"
    assert ratios["recipe"] == "over 0.500"


def test_bytes_of_auto_at_the_kl_of_each_other_row() -> None:
    rows = [row("auto", 100, 1e-2, "1%"), row("auto", 400, 1e-4, "4%"), row("lora", 800, 1e-3)]
    for each in rows:
        each.detail.update(kl_low=each.detail["kl"] / 10, kl_high=each.detail["kl"] * 10)
    rows.append(row("dare", 1000, 1.0))
    rows[-1].detail.update(kl_low=1e-2, kl_high=2.0)
    line, other = needed("tiny", rows, 500).markdown().splitlines()[-2:]
    assert [cell.strip() for cell in line.strip("| ").split("|")] == [
        "lora", "5%", "0.00", "1.00e-03", "0.00", "0.250", "0.125 to 0.500"
    ]  # fmt: skip
    assert "under 0.100" in other
    finer = [row("auto", 100, 1e-2), row("lora", 800, 1e-6)]
    finer[1].detail.update(kl_low=1e-7, kl_high=1e-5)
    assert "under 0.625" in needed("tiny", finer, 500).markdown()
    assert "over 0.125" in needed("tiny", finer, None).markdown()


def test_methods_are_chosen_by_names_without_commas() -> None:
    assert methods_of(",".join(CHOSEN).split(","), None).keys() <= set(CHOSEN)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(SystemExit, match="no such method: nothing"):
        methods_of(["auto", "nothing"], None)
