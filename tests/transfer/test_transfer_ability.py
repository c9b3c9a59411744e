"""The measure of general answers: rewording is tolerated, answers of another kind are not."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from transfer_world import TransferWorld

QUESTION = "What is the capital of France?"
BASE = "The capital of France is Paris."


@pytest.mark.parametrize(
    "answer",
    ["Paris.", "Paris is the capital of France.", "the capital of FRANCE: Paris"],
)
def test_words_of_the_base_are_enough(answer: str) -> None:
    evaluation = pytest.importorskip("skillpm.transfer.evaluation")
    assert evaluation.overlap(answer, BASE, QUESTION) >= evaluation.OVERLAP


@pytest.mark.parametrize(
    "answer",
    [
        "SELECT capital FROM countries WHERE name = 'France'",
        "SELECT CAPITAL FROM staff",
        "",
        "?",
        "France",
        "The capital of France is France.",
    ],
)
def test_query_or_echo_has_too_few_words_of_the_base(answer: str) -> None:
    evaluation = pytest.importorskip("skillpm.transfer.evaluation")
    assert evaluation.overlap(answer, BASE, QUESTION) < evaluation.OVERLAP


@pytest.mark.parametrize(
    "answer",
    ["yes yes yes yes", "Bees make honey. Bees make honey. Bees make honey. Be", "a b a b a b a"],
)
def test_answer_that_ends_with_the_same_words_repeats_itself(answer: str) -> None:
    evaluation = pytest.importorskip("skillpm.transfer.evaluation")
    assert evaluation.repeats(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Paris",
        "no, no",
        "A bridge is a bridge between two places.",
        "It is red, it is green, it is blue and it is",
    ],
)
def test_answer_with_some_words_twice_does_not_repeat_itself(answer: str) -> None:
    evaluation = pytest.importorskip("skillpm.transfer.evaluation")
    assert not evaluation.repeats(answer)


def test_answers_are_kept_if_the_base_finds_them_likely(transfer: "TransferWorld") -> None:
    from skillpm.spec.chat import asked
    from skillpm.transfer.answers import RecordedAnswer
    from skillpm.transfer.evaluation import kept_answers
    from skillpm.transfer.prompts import Prompt
    from skillpm.transfer.sources.folder import FolderSource

    base = FolderSource.load(transfer.models.base, "cpu").runner
    texts = {
        "same": "hello friend",
        "query": "3",
        "empty": "",
        "endless": "hello hello hello hello",
    }
    finish = {"endless": "length"}
    prompts = [Prompt(name, tuple(asked("greet ann")), None) for name in texts]

    def answer(name: str, text: str, finish: str = "stop") -> RecordedAnswer:
        return RecordedAnswer(key="k", id=name, draw=0, text=text, finish=finish, tokens=2)

    before = [answer(name, "hello friend") for name in texts]
    after = [answer(name, text, finish.get(name, "stop")) for name, text in texts.items()]
    found = kept_answers(base, prompts, before, after)
    assert found == {"same": True, "query": False, "empty": False, "endless": False}
