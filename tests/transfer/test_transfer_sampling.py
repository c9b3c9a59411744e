"""Answers that are recorded: whole batches, once, whatever a source returns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from skillpm.errors import RegistryError
from skillpm.parallel import no_advance
from skillpm.spec.chat import asked
from skillpm.transfer.answers import RECORDED_LIMIT, RecordedAnswer
from skillpm.transfer.generated import Generated, SamplingSettings
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.sampling import Request, SamplingTask, requests_of, sample
from skillpm.transfer.workspace import AnswerFile, TransferWorkspace

SAMPLING = SamplingSettings(0.8, 0.95, 8)
PROMPTS = [Prompt(str(number), tuple(asked(f"question {number}")), None) for number in range(10)]


@dataclass
class Echo:
    """A source that answers with the question; it fails after `most` requests."""

    most: int = 1000
    parallel: int = 1
    asked: list[tuple[str, int]] = field(default_factory=list)

    def answers(self, requests: Sequence[Request], sampling: SamplingSettings) -> list[Generated]:
        assert sampling == SAMPLING
        if len(self.asked) + len(requests) > self.most:
            raise RegistryError("gone")
        self.asked.extend(request.place for request in requests)
        return [Generated(request.prompt.messages[0].content, "stop", 2) for request in requests]


@pytest.fixture
def file(tmp_path: Path) -> AnswerFile:
    with TransferWorkspace.open(tmp_path, "k" * 32, timeout=0, say=print) as workspace:
        return workspace.answers("source")


def task(file: AnswerFile, batch: int = 4) -> SamplingTask:
    return SamplingTask(requests_of(PROMPTS, SAMPLING, 3, "key"), SAMPLING, file, "key", batch)


def test_every_request_is_asked_once_over_two_runs(file: AnswerFile) -> None:
    first, second = Echo(most=14), Echo()
    with pytest.raises(RegistryError):
        sample(lambda: first, task(file), no_advance)
    answers = sample(lambda: second, task(file), no_advance)
    assert len(first.asked) == 12
    assert sorted(first.asked + second.asked) == sorted(r.place for r in task(file).requests)
    assert [(a.id, a.draw) for a in answers] == [r.place for r in task(file).requests]


def test_source_is_not_opened_if_nothing_is_missing(file: AnswerFile) -> None:
    sample(Echo, task(file), no_advance)

    def open_source() -> Echo:
        raise AssertionError

    assert len(sample(open_source, task(file), no_advance)) == 30


def test_prompts_of_a_batch_are_of_similar_length_and_the_medium_batch_is_first(
    file: AnswerFile,
) -> None:
    lengths = [30, 1, 22, 3, 21, 2, 31, 20, 32]
    prompts = [Prompt(str(n), tuple(asked("x" * n)), None) for n in lengths]
    made = SamplingTask(requests_of(prompts, SAMPLING, 1, "key"), SAMPLING, file, "key", 3)
    assert [[r.length for r in part] for part in made.batches] == [
        [20, 21, 22], [30, 31, 32], [1, 2, 3],
    ]  # fmt: skip
    assert [r.length for r in made.first(4).requests] == [30, 22, 21, 31, 20, 32]
    assert made.first(4).batches == made.batches[:2]
    done = {request.place for request in made.batches[0]}
    assert made.first(1, done).batches == made.batches[1:2]


def test_first_batches_are_those_of_all_requests_if_their_lengths_are_equal(
    file: AnswerFile,
) -> None:
    made = task(file, 8)  # The last of four batches is not full, and comes third.
    expected = {tuple(request.place for request in part) for part in made.batches}
    first = made.first(17)
    assert {tuple(request.place for request in part) for part in first.batches} <= expected


def test_first_answers_are_not_asked_for_again(file: AnswerFile) -> None:
    for batch in (1, 2, 4, 7, 50):
        made, source = task(file, batch), Echo()
        file.keep([])
        sample(lambda source=source: source, made.first(8), no_advance)  # type: ignore[misc]
        assert len(source.asked) >= 8
        sample(lambda source=source: source, made, no_advance)  # type: ignore[misc]
        assert sorted(source.asked) == sorted(request.place for request in made.requests)


def test_batch_that_is_not_whole_is_repeated_whole(file: AnswerFile) -> None:
    sample(Echo, task(file), no_advance)
    lines = file.folder.read(file.name).splitlines(keepends=True)
    file.folder.write(file.name, b"".join(lines[:14]) + lines[14][:20])
    again = Echo()
    sample(lambda: again, task(file), no_advance)
    places = [request.place for part in task(file).batches for request in part]
    assert again.asked == places[12:]
    assert len(file.read()) == 30


def test_answers_of_another_key_are_kept_and_not_used(file: AnswerFile) -> None:
    other = RecordedAnswer(key="old", id="0", draw=0, text="x", finish="stop", tokens=1)
    file.append([other])
    sample(Echo, task(file), no_advance)
    assert file.read()[0] == other
    assert len(file.read()) == 31


def test_answers_in_flight_are_recorded_after_a_failure(file: AnswerFile) -> None:
    source = Echo(most=20, parallel=4)
    with pytest.raises(RegistryError):
        sample(lambda: source, task(file, batch=1), no_advance)
    assert {(line.id, line.draw) for line in file.read()} == set(source.asked)


@dataclass(frozen=True)
class Hostile:
    """A source whose answers are no valid text, or too long."""

    answer: Generated
    parallel: int = 1

    def answers(self, requests: Sequence[Request], sampling: SamplingSettings) -> list[Generated]:
        assert sampling == SAMPLING
        return [self.answer for _ in requests]


def test_hostile_answers_are_recorded_in_bounds(file: AnswerFile) -> None:
    surrogate = Hostile(Generated("a\ud800b", "stop", -5))
    (first, *_) = sample(lambda: surrogate, task(file), no_advance)
    assert (first.text, first.tokens) == ("a?b", 0)
    file.keep([])
    huge = Hostile(Generated("x" * (RECORDED_LIMIT + 1), "stop", None))
    (first,) = sample(lambda: huge, task(file).first(1), no_advance)[:1]
    assert (len(first.text), first.finish) == (RECORDED_LIMIT, "length")


def test_seeds_depend_on_key_prompt_and_draw() -> None:
    seeds = [request.seed for request in requests_of(PROMPTS, SAMPLING, 3, "key")]
    assert len(set(seeds)) == 30
    assert seeds != [request.seed for request in requests_of(PROMPTS, SAMPLING, 3, "other")]
    assert len(requests_of(PROMPTS, SamplingSettings(0, 1, 8), 3, "key")) == 10
