"""Asks sources for answers, and records each one before the next is asked for.

Requests are split into batches that depend on the settings alone, so a batch that a kill cut off is
repeated whole and gives the same answers. Prompts of a batch are of similar length, because shorter
ones are padded. No recorded answer is asked for again.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from skillpm.parallel import Advance
from skillpm.spec.chat import ChatMessage
from skillpm.transfer.answers import RECORDED_LIMIT, RecordedAnswer
from skillpm.transfer.generated import Generated, SamplingSettings
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.workspace import AnswerFile

Place = tuple[str, int]
"""The id of a prompt, and the number of the draw."""


@dataclass(frozen=True, slots=True)
class Request:
    """One answer that is wanted: the prompt, the number of the draw, and the seed."""

    prompt: Prompt
    draw: int
    seed: int

    @property
    def place(self) -> Place:
        """What identifies the answer within a source."""
        return self.prompt.id, self.draw

    @property
    def length(self) -> int:
        """The characters of the prompt."""
        return sum(len(message.content) for message in self.prompt.messages)


class AnswerSource(Protocol):
    """A model that answers batches of requests, `parallel` of them at a time."""

    @property
    def parallel(self) -> int:
        """The most batches in flight."""
        ...

    def answers(self, requests: Sequence[Request], sampling: SamplingSettings) -> list[Generated]:
        """Answer a batch, in order."""
        ...


def requests_of(
    prompts: Sequence[Prompt], sampling: SamplingSettings, draws: int, key: str
) -> list[Request]:
    """All requests to a source, in order. At temperature 0, there is one draw."""
    count = draws if sampling.temperature else 1
    return [
        Request(prompt, draw, _seed(key, prompt.id, draw))
        for prompt in prompts
        for draw in range(count)
    ]


def _seed(key: str, prompt: str, draw: int) -> int:
    data = f"{key}\0{prompt}\0{draw}".encode()
    return int.from_bytes(sha256(data).digest()[:4], "little") >> 1


@dataclass(frozen=True)
class SamplingTask:
    """Requests to one model, and the file of their answers. `batch` of them are answered at once.

    `key` is the digest of everything else that the answers depend on.
    """

    requests: Sequence[Request]
    sampling: SamplingSettings
    file: AnswerFile
    key: str
    batch: int = 1
    longest: int = RECORDED_LIMIT
    """Characters of an answer that are recorded. A longer one counts as cut off."""

    @property
    def batches(self) -> list[Sequence[Request]]:
        """The requests by the length of their prompts, the batch of medium length first."""
        if self.batch == 1:
            return [(request,) for request in self.requests]
        places = sorted(range(len(self.requests)), key=lambda at: (self.requests[at].length, at))
        requests = [self.requests[place] for place in places]
        found = [requests[at : at + self.batch] for at in range(0, len(requests), self.batch)]
        middle = max(0, len(found) - 1) // 2
        return [*found[middle:], *found[:middle]]

    def first(self, least: int, done: "Collection[Place]" = ()) -> "SamplingTask":
        """The first batches, with at least `least` requests if there are as many.

        Batches whose requests are `done` are left out.
        """
        chosen: set[Place] = set()
        for part in self.batches:
            if len(chosen) >= least:
                break
            if part[0].place not in done:
                chosen.update(request.place for request in part)
        return replace(self, requests=[each for each in self.requests if each.place in chosen])

    def recorded(self) -> Mapping["Place", RecordedAnswer]:
        """The answers that are recorded in whole batches. The others are removed."""
        return _complete(self, self.batches)


def sample(
    source: Callable[[], AnswerSource], task: SamplingTask, advance: Advance
) -> tuple[RecordedAnswer, ...]:
    """Record the answers to all requests. `source` is called if any is missing.

    Raises the errors of the source; what was answered before is recorded.
    """
    batches = task.batches
    recorded = _complete(task, batches)
    waiting = [part for part in batches if part[0].place not in recorded]
    advance(len(recorded))
    if waiting:
        for part, answers in _answered(source(), waiting, task.sampling):
            pairs = zip(part, answers, strict=True)
            lines = [_recorded(task, request, answer) for request, answer in pairs]
            task.file.append(lines)
            recorded |= {(line.id, line.draw): line for line in lines}
            advance(len(lines))
    return tuple(recorded[request.place] for request in task.requests)


def _recorded(task: SamplingTask, request: Request, answer: Generated) -> RecordedAnswer:
    """The answer as it is recorded: valid Unicode, and at most `longest` characters."""
    text = answer.text.encode(errors="replace").decode()
    too_long = len(text) > task.longest
    return RecordedAnswer(
        key=task.key,
        id=request.prompt.id,
        draw=request.draw,
        text=text[: task.longest],
        finish="length" if too_long else answer.finish,
        tokens=max(0, answer.tokens or 0),
    )


def _complete(
    task: SamplingTask, batches: Sequence[Sequence[Request]]
) -> dict[Place, RecordedAnswer]:
    """The recorded answers of whole batches. Other answers to these requests are removed."""
    lines = task.file.read()
    found = {(line.id, line.draw): line for line in lines if line.key == task.key}
    cut = {
        request.place
        for part in batches
        if not all(request.place in found for request in part)
        for request in part
        if request.place in found
    }
    if cut:
        task.file.keep(line for line in lines if (line.id, line.draw) not in cut)
    return {
        request.place: found[request.place]
        for part in batches
        for request in part
        if request.place in found and request.place not in cut
    }


def _answered(
    source: AnswerSource, batches: Sequence[Sequence[Request]], sampling: SamplingSettings
) -> Iterator[tuple[Sequence[Request], list[Generated]]]:
    """Answers batch by batch, in the order in which they arrive.

    After a failure nothing more is asked for, and what is in flight is still awaited.
    """
    if source.parallel == 1:
        for part in batches:
            yield part, source.answers(part, sampling)
        return
    yield from _in_flight(source, batches, sampling)


def _in_flight(
    source: AnswerSource, batches: Sequence[Sequence[Request]], sampling: SamplingSettings
) -> Iterator[tuple[Sequence[Request], list[Generated]]]:
    """Answers of several threads. They are daemons, so an interrupted command waits for none."""
    tasks, outcomes = SimpleQueue[Sequence[Request] | None](), SimpleQueue[_Outcome]()
    threads = min(source.parallel, len(batches))
    for _ in range(threads):
        work = partial(_answer_tasks, source, sampling, tasks, outcomes)
        Thread(target=work, daemon=True).start()
    left, running = iter(batches), 0
    problem: BaseException | None = None
    try:
        while True:
            while problem is None and running < threads and (part := next(left, None)) is not None:
                tasks.put(part)
                running += 1
            if not running:
                break
            outcome = outcomes.get()
            running -= 1
            problem = problem or outcome.problem
            if outcome.problem is None:
                yield outcome.part, outcome.answers
    finally:
        for _ in range(threads):
            tasks.put(None)
    if problem is not None:
        raise problem


@dataclass(frozen=True)
class _Outcome:
    """The answers to a batch, or the error of asking for them."""

    part: Sequence[Request]
    answers: list[Generated]
    problem: BaseException | None = None


def _answer_tasks(
    source: AnswerSource,
    sampling: SamplingSettings,
    tasks: "SimpleQueue[Sequence[Request] | None]",
    outcomes: "SimpleQueue[_Outcome]",
) -> None:
    """Answer batches until the task None."""
    while (part := tasks.get()) is not None:
        try:
            outcomes.put(_Outcome(part, source.answers(part, sampling)))
        except BaseException as problem:  # noqa: BLE001 - raised in the main thread
            outcomes.put(_Outcome(part, [], problem))


def messages_of(request: Request) -> list[ChatMessage]:
    """The chat of a request."""
    return list(request.prompt.messages)


def by_prompt(answers: Sequence[RecordedAnswer]) -> Mapping[str, list[RecordedAnswer]]:
    """Answers by the id of their prompt, in the order of draws."""
    found: dict[str, list[RecordedAnswer]] = {}
    for answer in sorted(answers, key=lambda answer: answer.draw):
        found.setdefault(answer.id, []).append(answer)
    return found
