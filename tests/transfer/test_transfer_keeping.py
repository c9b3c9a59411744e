"""Keep rows: the base's own answers, with the beginnings of those that were cut off."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from skillpm.spec.chat import asked
from skillpm.transfer.answers import RecordedAnswer
from skillpm.transfer.keeping import keep_answers
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.selection import CUT, Judged, KeptAnswer, choose_rows

PROMPTS = [Prompt(str(n), tuple(asked(f"question {n}")), None) for n in range(100)]
Ask = Callable[[Sequence[Prompt]], list[RecordedAnswer]]


def answering(every: int, calls: list[int], finish: str = "stop") -> Ask:
    """A base whose answer is empty, except to one of `every` prompts."""

    def ask(prompts: Sequence[Prompt]) -> list[RecordedAnswer]:
        calls.append(len(prompts))
        return [
            RecordedAnswer(
                key="k", id=prompt.id, draw=0, tokens=2, finish=finish,
                text=" " if int(prompt.id) % every else f"answer {prompt.id}",
            )
            for prompt in prompts
        ]  # fmt: skip

    return ask


def test_no_more_answers_are_asked_for_than_needed() -> None:
    calls: list[int] = []
    assert len(keep_answers(PROMPTS, 20, answering(1, calls))) == 20
    assert calls == [20]
    assert keep_answers(PROMPTS, 0, answering(1, calls)) == []
    assert calls == [20]


def test_further_prompts_replace_those_with_empty_answers() -> None:
    calls: list[int] = []
    found = keep_answers(PROMPTS, 20, answering(2, calls))
    assert [each.prompt.id for each in found] == [str(2 * n) for n in range(20)]
    calls.clear()
    assert len(keep_answers(PROMPTS, 80, answering(2, calls))) == 50
    assert sum(calls) == len(PROMPTS)


def test_answers_that_were_cut_off_are_marked_in_their_rows() -> None:
    cut = keep_answers(PROMPTS[:2], 2, answering(1, [], "length"))
    whole = KeptAnswer(PROMPTS[5], "whole")
    learnt = [Judged(0, prompt.id, 0, "right", 1, True, "") for prompt in PROMPTS[10:13]]
    rows = choose_rows(PROMPTS, learnt, [*cut, whole], sft_share=1, keep_share=0.5)
    assert rows.learnt == 3
    marks = {row["completion"][0]["content"]: row.get(CUT) for row in rows.sft}
    assert marks == {"right": None, "answer 0": True, "answer 1": True, "whole": None}


def test_end_of_an_answer_that_was_cut_off_is_not_learnt() -> None:
    pytest.importorskip("trl", reason="needs the extra `transfer`")
    from datasets import Dataset

    from skillpm.transfer.training_rows import without_ends

    end = 3
    labels = [-100, end, -100, 7, 8, end, 9]
    rows = Dataset.from_list([{"input_ids": [1, end, 2, 7, 8, end, 9], "labels": labels}] * 2)
    found: Any = without_ends(rows, {1}, frozenset({end}))
    assert found[0]["labels"] == labels
    assert found[1] == {"input_ids": [1, end, 2, 7, 8], "labels": labels[:5]}
