import pytest
import torch
from torch import nn

from benchmarks.continual import measures, texts
from benchmarks.continual.evaluate import chosen
from benchmarks.continual.methods import Consolidated
from benchmarks.continual.settings import Language, Sentences, plain
from benchmarks.continual.subject import Answers

LEARNT_AND_LOST = [[0.9, 0.1, 0.2], [0.5, 0.8, 0.3], [0.4, 0.9, 0.7]]


def test_accuracy_is_the_mean_of_the_last_stage() -> None:
    assert measures.accuracy(LEARNT_AND_LOST) == pytest.approx((0.4 + 0.9 + 0.7) / 3)


def test_backward_transfer_counts_later_gains_and_losses() -> None:
    expected = ((0.4 - 0.9) + (0.9 - 0.8)) / 2
    assert measures.backward_transfer(LEARNT_AND_LOST) == pytest.approx(expected)


def test_forgetting_is_measured_from_the_best_score() -> None:
    expected = ((0.9 - 0.4) + (0.8 - 0.9)) / 2
    assert measures.forgetting(LEARNT_AND_LOST) == pytest.approx(expected)


def test_unchanged_scores_have_no_forgetting() -> None:
    kept = [[0.9, 0.0, 0.0], [0.9, 0.8, 0.0], [0.9, 0.8, 0.7]]
    assert measures.backward_transfer(kept) == 0.0
    assert measures.forgetting(kept) == 0.0


def test_routed_query_uses_the_answer_of_its_skill_or_the_base() -> None:
    alone = {
        "bench/a": {"task": Answers([1.0, 2.0], [-1.0, -2.0])},
        "base": {"task": Answers([3.0, 4.0], [-3.0, -4.0])},
    }
    assert chosen(alone, "task", ["bench/a", None]) == Answers([1.0, 4.0], [-1.0, -4.0])


def test_combined_ewc_penalties_have_the_gradient_of_their_sum() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(2.0)
    model.weight.grad = torch.zeros_like(model.weight)
    tasks = [(3.0, 1.0), (5.0, -1.0)]  # Fisher, weight
    first, second = (
        Consolidated({"weight": torch.tensor([[f]])}, {"weight": torch.tensor([[f * w]])})
        for f, w in tasks
    )
    first.plus(second).pull(model, 0.5)()
    expected = 0.5 * sum(fisher * (2.0 - weight) for fisher, weight in tasks)
    assert float(model.weight.grad) == pytest.approx(expected)


def test_settings_of_one_method_do_not_change_records_of_others() -> None:
    for settings in (Language(), Sentences()):
        assert plain(settings)["stage"].keys() & {"ewc", "lora", "replay"} == set()
        assert settings.stage.own("ewc") != settings.stage.own("lora")
        assert settings.stage.own("sequential") == {}


def test_character_documents_share_no_line() -> None:
    documents = list(texts.characters())
    lines = [line for one in documents for line in one.text.splitlines()]
    assert "0041;LATIN CAPITAL LETTER A;Lu;L" in lines
    assert len(lines) == len(set(lines))
