"""Keep rows: enough answers of the base, although some of them are cut off."""

from collections.abc import Sequence

import pytest

from skillpm.spec.chat import asked
from skillpm.transfer.answers import RecordedAnswer
from skillpm.transfer.keeping import keep_answers
from skillpm.transfer.prompts import Prompt

PROMPTS = [Prompt(str(n), tuple(asked(f"question {n}")), None) for n in range(100)]


def ends(every: int, calls: list[int]) -> object:
    """A base that ends one of `every` answers."""

    def ask(prompts: Sequence[Prompt]) -> list[RecordedAnswer]:
        calls.append(len(prompts))
        return [
            RecordedAnswer(
                key="k", id=prompt.id, draw=0, text=f"answer {prompt.id}", tokens=2,
                finish="length" if int(prompt.id) % every else "stop",
            )
            for prompt in prompts
        ]  # fmt: skip

    return ask


@pytest.mark.parametrize("every", [1, 2, 4])
def test_more_answers_are_asked_for_if_too_many_are_cut_off(every: int) -> None:
    calls: list[int] = []
    found = keep_answers(PROMPTS, 20, ends(every, calls))  # type: ignore[arg-type]
    assert len(found) >= 20
    assert [prompt.id for prompt, _ in found] == [str(every * n) for n in range(len(found))]
    assert sum(calls) <= 2 * 20 * every


def test_no_prompt_is_asked_twice_and_none_without_need() -> None:
    calls: list[int] = []
    assert len(keep_answers(PROMPTS, 80, ends(2, calls))) == 50  # type: ignore[arg-type]
    assert sum(calls) == len(PROMPTS)
    assert keep_answers(PROMPTS, 0, ends(1, calls)) == []  # type: ignore[arg-type]
    assert sum(calls) == len(PROMPTS)
