import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import VOCABULARY, llama, nudge, save

from benchmarks.finetunes import causal, corpora, tokens
from benchmarks.finetunes.cache import made, record
from benchmarks.finetunes.catalogue import finetunes
from benchmarks.finetunes.corpora import Document
from benchmarks.finetunes.measure import share
from benchmarks.finetunes.measure_causal import CausalEvaluator
from benchmarks.finetunes.settings import Training
from examples.code_search.settings import Advance

TRAINING = Training(steps=30, learning_rate=1e-2, weight_decay=0.0, rows=4)


class StopError(Exception):
    pass


def silent(stage: str, done: int, total: int) -> None:
    pass


def stop_late(stage: str, done: int, total: int) -> None:
    if done > causal.STEPS_BETWEEN_CHECKPOINTS:
        raise StopError


def rows(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCABULARY, (12, 16), generator=generator)


@pytest.fixture
def evaluator(tmp_path: Path) -> CausalEvaluator:
    base = save(llama(tied=True).bfloat16(), tmp_path / "base")
    tuned = save(nudge(llama(tied=True)).bfloat16(), tmp_path / "tuned")
    return CausalEvaluator(base=base, tuned=tuned, rows=rows())


def test_split_shares_no_text_between_its_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(f"{place}.txt", f"text {place}") for place in range(100)]
    monkeypatch.setitem(corpora.KINDS, "many", lambda: iter([*documents, documents[0]]))
    split = corpora.split("many")
    sides = [
        {one.text for one in side} for side in (split.train, split.calibration, split.held_out)
    ]
    assert [len(side) for side in sides] == [80, 10, 10]
    assert len(set.union(*sides)) == 100


def test_listing_is_deterministic() -> None:
    code = compile("def f(x):\n    return x in {'a', 'b', 'c'} and (lambda: 1)", "m", "exec")
    text = "\n".join(corpora.listing(code))
    assert "frozenset [\"'a'\", \"'b'\", \"'c'\"]" in text
    assert "0x" not in text


def test_rows_contain_every_text_after_an_end_token() -> None:
    documents = [Document("a", "def a(): pass\n" * 40), Document("b", "naïve ☃\n" * 40)]
    tokenizer = tokens.learn(documents, vocabulary=300)
    found = tokens.rows(tokenizer, documents, context=8)
    text = tokenizer.decode(found.reshape(-1).tolist())
    assert text.startswith(tokens.END + documents[0].text + tokens.END + "naïve ☃\n")


def test_results_are_reused_unless_their_inputs_change(tmp_path: Path) -> None:
    calls = []
    for wanted in ({"seed": 0}, {"seed": 0}, {"seed": 1}):
        made(tmp_path / "one", wanted, lambda folder: calls.append(folder.name))
    assert len(calls) == 2
    made_from = record(tmp_path / "one")
    assert made_from is not None
    assert made_from["from"] == {"seed": 1}


def test_interrupted_training_continues_to_the_same_weights(tmp_path: Path) -> None:
    def tune(folder: Path, advance: Advance) -> None:
        model = llama(tied=True)
        causal.train(model, rows(), TRAINING, scratch=folder, advance=advance)
        causal.save(model, folder / "model")

    with pytest.raises(StopError):
        made(tmp_path / "cut", {}, lambda folder: tune(folder, stop_late))
    assert record(tmp_path / "cut") is None
    made(tmp_path / "cut", {}, lambda folder: tune(folder, silent))
    made(tmp_path / "whole", {}, lambda folder: tune(folder, silent))
    one, other = (
        load_file(tmp_path / name / "model/model.safetensors") for name in ("cut", "whole")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_seeds_differ_in_the_order_of_the_same_rows() -> None:
    numbered = torch.arange(12)[:, None]
    passes = replace(TRAINING, steps=3)
    orders = [torch.cat(list(causal.batches(numbered, replace(passes, seed=s)))) for s in (0, 1)]
    assert not torch.equal(*orders)
    assert torch.equal(*(order.sort(dim=0).values for order in orders))


def test_base_keeps_no_gain_and_the_tuned_model_all_of_it(evaluator: CausalEvaluator) -> None:
    assert evaluator.base.gain_kept == 0.0
    assert evaluator.tuned.gain_kept == 1.0
    assert evaluator.tuned.kl == pytest.approx(0.0, abs=1e-9)
    assert evaluator.tuned.agreement == 1.0
    assert evaluator.base.kl > 0.0


def test_state_dict_measures_like_its_directory(evaluator: CausalEvaluator, tmp_path: Path) -> None:
    weights = load_file(tmp_path / "tuned" / "model.safetensors")
    assert evaluator.measure(weights) == evaluator.tuned


def test_candidate_that_lacks_a_tensor_is_refused(
    evaluator: CausalEvaluator, tmp_path: Path
) -> None:
    weights = load_file(tmp_path / "tuned" / "model.safetensors")
    del weights["model.norm.weight"]
    with pytest.raises(ValueError, match=r"model\.norm\.weight"):
        evaluator.measure(weights)


def test_share_has_no_error_if_every_text_keeps_the_same() -> None:
    base, tuned = torch.tensor([3.0, 5.0, 4.0]), torch.tensor([2.0, 3.0, 3.5])
    found = share(base, tuned, base - 0.75 * (base - tuned))
    assert found.value == pytest.approx(0.75)
    assert found.error == pytest.approx(0.0, abs=1e-12)


def test_finetunes_lists_only_complete_ones(tmp_path: Path) -> None:
    for name in ("lm-english-1", "encoder-search-0", "lm-headers-0.unfinished"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "made.json").write_text(json.dumps({"from": {}, "seconds": 1.0}))
    found = [(one.name, one.kind, one.seed) for one in finetunes(tmp_path)]
    assert found == [("encoder-search-0", "encoder", 0), ("lm-english-1", "causal", 1)]
