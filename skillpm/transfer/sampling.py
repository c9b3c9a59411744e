"""Asks sources for answers, and records each one before the next is asked for.

Requests are split into batches that depend on the settings alone, so a batch that a kill cut off is
repeated whole and gives the same answers. No recorded answer is asked for again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from skillpm.parallel import Advance
from skillpm.spec.chat import ChatMessage
from skillpm.transfer.answers import RecordedAnswer
from skillpm.transfer.generated import Generated, Sampling
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.workspace import AnswerFile


@dataclass(frozen=True, slots=True)
class Request:
    """One answer that is wanted: the prompt, the number of the draw, and the seed."""

    prompt: Prompt
    draw: int
    seed: int

    @property
    def place(self) -> tuple[str, int]:
        """What identifies the answer within a source."""
        return self.prompt.id, self.draw


class Source(Protocol):
    """A model that answers. `batch` requests are answered at once, `parallel` batches at a time."""

    batch: int
    parallel: int

    def answers(self, requests: Sequence[Request], sampling: Sampling) -> list[Generated]:
        """Answer a batch, in order."""
        ...


def requests_of(
    prompts: Sequence[Prompt], sampling: Sampling, draws: int, key: str
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


def sample(
    source: Callable[[], Source],
    requests: Sequence[Request],
    sampling: Sampling,
    file: AnswerFile,
    key: str,
    *,
    batch: int,
    advance: Advance,
) -> tuple[RecordedAnswer, ...]:
    """Record the answers to all requests. `source` is called if any is missing.

    Raises the errors of the source; what was answered before is recorded.
    """
    batches = [requests[start : start + batch] for start in range(0, len(requests), batch)]
    recorded = _complete(file, batches, key)
    waiting = [part for part in batches if part[0].place not in recorded]
    advance(len(recorded))
    if waiting:
        for part, answers in _answered(source(), waiting, sampling):
            lines = [
                RecordedAnswer(
                    key=key,
                    id=request.prompt.id,
                    draw=request.draw,
                    text=answer.text,
                    finish=answer.finish,
                    tokens=answer.tokens or 0,
                )
                for request, answer in zip(part, answers, strict=True)
            ]
            file.append(lines)
            recorded |= {(line.id, line.draw): line for line in lines}
            advance(len(lines))
    return tuple(recorded[request.place] for request in requests)


def _complete(
    file: AnswerFile, batches: Sequence[Sequence[Request]], key: str
) -> dict[tuple[str, int], RecordedAnswer]:
    """The recorded answers of whole batches. Others are removed from the file."""
    found = {(line.id, line.draw): line for line in file.read() if line.key == key}
    whole = {
        request.place: found[request.place]
        for part in batches
        if all(request.place in found for request in part)
        for request in part
    }
    if len(whole) != len(found):
        file.keep(whole.values())
    return whole


def _answered(
    source: Source, batches: Sequence[Sequence[Request]], sampling: Sampling
) -> Iterator[tuple[Sequence[Request], list[Generated]]]:
    """Answers batch by batch, in the order in which they arrive."""
    if source.parallel == 1:
        for part in batches:
            yield part, source.answers(part, sampling)
        return
    left = iter(batches)
    running: dict[Future[list[Generated]], Sequence[Request]] = {}
    with ThreadPoolExecutor(source.parallel) as pool:
        try:
            while True:
                for part in left:
                    running[pool.submit(source.answers, part, sampling)] = part
                    if len(running) >= source.parallel:
                        break
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(done), done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def messages_of(request: Request) -> list[ChatMessage]:
    """The chat of a request."""
    return list(request.prompt.messages)


def by_prompt(answers: Sequence[RecordedAnswer]) -> Mapping[str, list[RecordedAnswer]]:
    """Answers by the id of their prompt, in the order of draws."""
    found: dict[str, list[RecordedAnswer]] = {}
    for answer in sorted(answers, key=lambda answer: answer.draw):
        found.setdefault(answer.id, []).append(answer)
    return found
