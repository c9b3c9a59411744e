"""No sequence of a calibration text is both held out and in the Fisher factors."""

from dataclasses import dataclass

import pytest
import torch

from skillpm.calibration.sample import MOST_HELD_OUT, MOST_TOKENS, split_texts
from skillpm.errors import GraftError
from skillpm.running.runner import BATCH, TOKENS, Runner


@dataclass(frozen=True)
class Words:
    """A tokenizer whose tokens are numbers in a text."""

    pad_token_id: int = 0

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [int(word) for word in text.split()]}


def runner(*, causal: bool) -> Runner:
    return Runner(None, Words(), causal=causal, device="cpu")


def numbers(count: int, first: int = 1) -> str:
    return " ".join(str(number) for number in range(first, first + count))


def tokens_of(batches: list[object]) -> set[int]:
    return {int(token) for batch in batches for token in batch.ids.flatten()} - {0}  # type: ignore[attr-defined]


@pytest.mark.parametrize("length", [2, 40, 2 * TOKENS, 3 * TOKENS, 9 * TOKENS])
def test_a_text_is_split_without_overlap(length: int) -> None:
    seen, held_out = split_texts(runner(causal=True), [numbers(length)])
    assert seen
    assert held_out
    assert tokens_of([*seen]).isdisjoint(tokens_of([*held_out]))
    assert all(len(batch.ids) <= BATCH for batch in (*seen, *held_out))


def test_long_texts_are_sampled_at_regular_intervals_up_to_the_limits() -> None:
    length = 64 * TOKENS * BATCH
    seen, held_out = split_texts(runner(causal=True), [numbers(length)])
    assert sum(batch.tokens for batch in seen) == MOST_TOKENS
    assert sum(batch.tokens for batch in held_out) == MOST_HELD_OUT
    for batches in (seen, held_out):
        starts = torch.cat([batch.ids[:, 0] for batch in batches])
        gaps = starts.diff()
        assert int(starts[-1]) > 0.8 * length
        assert int(gaps.max()) <= 2 * int(gaps.min())


def test_a_few_texts_of_an_encoder_are_split_by_text() -> None:
    texts = [numbers(5), numbers(6, first=100)]
    seen, held_out = split_texts(runner(causal=False), texts)
    assert tokens_of([*seen]).isdisjoint(tokens_of([*held_out]))


@pytest.mark.parametrize(("causal", "texts"), [(True, ["7"]), (False, [numbers(9)])])
def test_a_text_that_cannot_be_split_is_refused(causal: bool, texts: list[str]) -> None:  # noqa: FBT001 - a parameter of the test
    with pytest.raises(GraftError, match="too short") as problem:
        split_texts(runner(causal=causal), texts)
    assert problem.value.hint
