"""The measures, compared with answers computed by hand or by transformers."""

from pathlib import Path
from typing import Any

import pytest
import tiny_learners
import torch
from tiny_learners import COLORS, MATH, Learners
from transformers import LlamaConfig, LlamaForCausalLM

from skillpm.errors import GraftError
from skillpm.probing.likelihoods import answer_row, predict, text_vectors, whole_text_row
from skillpm.probing.measure import MEASURES, Score, mean, measure, round_to_six_digits
from skillpm.running.runner import Runner
from skillpm.spec.fields import Document
from skillpm.spec.probe_items import (
    ExactMatchItem,
    LabelItem,
    MultipleChoiceItem,
    RetrievalItem,
    TokenLossItem,
)
from skillpm.spec.probes import METRICS

ITEMS: dict[str, list[Document]] = {
    "token_loss": [TokenLossItem(text=line * 2) for line in MATH],
    "exact_match": [ExactMatchItem(prompt=line + line[:4], answer=line[4]) for line in MATH],
    "multiple_choice": [
        MultipleChoiceItem(
            question=line + line[:4].rstrip("="), choices=["=9", line[3:5]], answer=1
        )
        for line in MATH
    ],
    "accuracy": [LabelItem(text=line[:3], label=line[3:6]) for line in MATH[:2]],
}


@pytest.fixture(scope="module")
def runner(learners: Learners) -> Runner:
    return Runner.load(learners.math[1], "cpu")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner.load(tiny_learners.encoder(tmp_path_factory.mktemp("encoder")), "cpu")


def test_every_metric_has_a_measure() -> None:
    assert MEASURES.keys() == METRICS.keys()


def test_token_loss_equals_that_of_transformers(runner: Runner) -> None:
    text = "1+2=3. the cat"
    ids = torch.tensor([runner.tokenizer(text)["input_ids"]])
    with torch.no_grad():
        loss = float(runner.model(input_ids=ids, labels=ids).loss)
    assert mean(measure(runner, "token_loss", [TokenLossItem(text=text)])) == pytest.approx(
        loss, rel=1e-5
    )


def test_token_loss_is_a_mean_over_tokens_independent_of_batches(runner: Runner) -> None:
    texts = ["1+2=3. ", "the cat sat on the mat. " * 2, "ab"]
    together = measure(runner, "token_loss", [TokenLossItem(text=text) for text in texts])
    alone = [measure(runner, "token_loss", [TokenLossItem(text=text)])[0] for text in texts]
    for one, other in zip(together, alone, strict=True):
        assert one.weight == other.weight
        assert one.total == pytest.approx(other.total, rel=1e-4)
    assert [one.weight for one in together] == [6, 47, 1]


def test_exact_match_compares_with_greedy_generation(runner: Runner) -> None:
    for item in ITEMS["exact_match"]:
        assert isinstance(item, ExactMatchItem)
        ids = torch.tensor([runner.tokenizer(item.prompt)["input_ids"]])
        with torch.no_grad():
            said = runner.tokenizer.decode(
                [int(runner.model(input_ids=ids).logits[0, -1].argmax())]
            )
        wrong = item.model_copy(update={"answer": "x"})
        found = measure(runner, "exact_match", [item, wrong])
        assert [one.total for one in found] == [float(said == item.answer), 0.0]


def test_exact_match_requires_all_tokens_of_an_answer(runner: Runner) -> None:
    right = ExactMatchItem(prompt="1+2=3. 1+2", answer="=3. ")
    wrong = ExactMatchItem(prompt="1+2=3. 1+2", answer="=4. ")
    assert [one.total for one in measure(runner, "exact_match", [right, wrong])] == [1.0, 0.0]


@pytest.mark.parametrize("metric", sorted(ITEMS))
def test_trained_model_is_better_than_its_base(
    runner: Runner, learners: Learners, metric: str
) -> None:
    base = Runner.load(learners.base, "cpu")
    now, before = (mean(measure(one, metric, ITEMS[metric])) for one in (runner, base))
    assert METRICS[metric].gain(now, before) >= 0
    assert metric == "accuracy" or METRICS[metric].gain(now, before) > 0


@pytest.mark.parametrize("metric", sorted(ITEMS))
def test_measure_of_single_items_equals_that_of_all(runner: Runner, metric: str) -> None:
    items = ITEMS[metric]
    everything = measure(runner, metric, items)
    apart = [measure(runner, metric, items, [place])[0] for place in range(len(items))]
    for one, other in zip(everything, apart, strict=True):
        assert one.total == pytest.approx(other.total, rel=1e-4)
    assert measure(runner, metric, items, []) == []


def test_long_prompt_is_truncated_at_its_start(runner: Runner) -> None:
    row = answer_row(runner, "the cat. " * 40 + "1+2=3. 1+2=", "3")
    assert len(row.ids) == 64
    assert row.start == 63
    assert runner.tokenizer.decode(row.ids).replace(" ", "").endswith("1+2=3.1+2=3")
    assert predict(runner, [row])[0].tokens == 1


def test_text_of_one_token_cannot_be_scored(runner: Runner) -> None:
    assert predict(runner, [whole_text_row(runner, "a")])[0].tokens == 0
    with pytest.raises(GraftError, match="no item that can be scored"):
        mean(measure(runner, "token_loss", [TokenLossItem(text="a")]))


def test_mrr_ranks_by_cosine_and_counts_a_document_once(encoder: Runner) -> None:
    items = [
        RetrievalItem(query="the cat", document="the cat"),
        RetrievalItem(query="the cat", document="the cat"),
        RetrievalItem(query="zzzz", document="1+2=3"),
    ]
    found = measure(encoder, "mrr", items)
    assert [one.total for one in found[:2]] == [1.0, 1.0]
    assert found[2].total in (0.5, 1.0)
    assert measure(encoder, "mrr", items, [2]) == found[2:]


def test_accuracy_of_an_encoder_excludes_the_text_from_its_centroid(encoder: Runner) -> None:
    texts = [("the cat", "a"), ("the cat", "a"), ("9999", "b"), ("9999", "b"), ("9999", "a")]
    found = measure(encoder, "accuracy", [LabelItem(text=t, label=label) for t, label in texts])
    assert [one.total for one in found] == [1.0, 1.0, 1.0, 1.0, 0.0]


def test_multiple_choice_of_an_encoder_chooses_the_nearest_answer(encoder: Runner) -> None:
    items = [MultipleChoiceItem(question="the cat", choices=["9+9=8", "the cat"], answer=1)]
    assert mean(measure(encoder, "multiple_choice", items)) == 1.0


def test_vectors_are_in_the_order_of_their_texts(encoder: Runner) -> None:
    texts = ["a long text of many letters", "ab", "the cat"]
    found = text_vectors(encoder, texts)
    for at, text in enumerate(texts):
        torch.testing.assert_close(found[at], text_vectors(encoder, [text])[0])


@pytest.mark.parametrize("metric", ["token_loss", "exact_match"])
def test_language_model_metrics_are_refused_for_an_encoder(encoder: Runner, metric: str) -> None:
    with pytest.raises(GraftError, match=f"{metric} needs a causal LM"):
        measure(encoder, metric, ITEMS[metric])


def test_nan_outputs_are_scored_as_wrong(learners: Learners) -> None:
    broken = Runner.load(learners.base, "cpu")
    broken.model.model.norm.weight.data.fill_(float("nan"))
    assert mean(measure(broken, "multiple_choice", ITEMS["multiple_choice"])) == 0.0
    loss = mean(measure(broken, "token_loss", ITEMS["token_loss"]))
    assert not METRICS["token_loss"].passes(loss, 1e9)


def test_figure_rounds_to_six_digits() -> None:
    assert round_to_six_digits(1.23456789) == 1.23457
    assert mean([Score(1.0), Score(0.0), Score(1.0, 2.0)]) == 0.5


def test_token_loss_is_higher_for_untrained_texts(runner: Runner) -> None:
    colours: list[Any] = [TokenLossItem(text=line) for line in COLORS]
    assert mean(measure(runner, "token_loss", colours)) > mean(
        measure(runner, "token_loss", ITEMS["token_loss"])
    )


def test_runner_of_a_folder_without_a_tokenizer_fails(models: Any) -> None:
    with pytest.raises(GraftError, match="cannot be run"):
        Runner.load(Path(models.pair("fp32")[0]), "cpu")


def test_failure_of_the_model_is_a_graft_error(runner: Runner) -> None:
    small = LlamaConfig(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    model = LlamaForCausalLM(small).eval()
    with pytest.raises(GraftError, match="cannot answer the items of token_loss"):
        measure(Runner(model, runner.tokenizer, True, "cpu"), "token_loss", ITEMS["token_loss"])
