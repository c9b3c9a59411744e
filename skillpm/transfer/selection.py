"""Chooses the rows of both trainings from judged answers.

Prompts are split by their ids: a share is for SFT, the others for DPO (FuseChat-3.0, arXiv
2503.04222, section 3.2). SFT learns the best right answer of a prompt over all sources, and the
base's own answers to keep prompts. DPO learns from a right and a wrong answer of the same source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from skillpm.spec import json
from skillpm.spec.chat import ChatMessage
from skillpm.transfer.prompts import Prompt

LEAST_PAIRS = 32
"""With fewer pairs, DPO is skipped."""
CUT = "cut_off"
"""The key of an SFT row whose answer does not end."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer with its verdict. `source` is the number of the source in the file."""

    source: int
    id: str
    draw: int
    text: str
    tokens: int
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The base's own answer to a keep prompt. Of a `cut_off` one, the end is not learnt."""

    prompt: Prompt
    text: str
    cut_off: bool = False


@dataclass(frozen=True)
class Rows:
    """The rows of both trainings, in an order that depends on the inputs alone.

    `learnt` is the number of SFT rows that are not keep rows.
    """

    sft: tuple[Mapping[str, Any], ...]
    pairs: tuple[Mapping[str, Any], ...]
    learnt: int


def choose_rows(
    prompts: Sequence[Prompt],
    judged: Sequence[Judged],
    kept: Sequence[KeptAnswer],
    *,
    sft_share: float,
    keep_share: float,
) -> Rows:
    """Choose the rows. Keep rows are `keep_share` of all SFT rows, as far as there are enough."""
    answers: dict[str, list[Judged]] = {}
    for answer in judged:
        answers.setdefault(answer.id, []).append(answer)
    learnt, pairs = [], []
    for prompt in prompts:
        own = answers.get(prompt.id, [])
        best = min((each for each in own if each.passed), key=_rank, default=None)
        if best is None:
            continue
        if is_for_sft(prompt, sft_share):
            learnt.append(answer_row(prompt, best.text))
        elif (pair := _pair(own)) is not None:
            chosen, rejected = pair
            pairs.append(
                {
                    "prompt": _plain(prompt.messages),
                    "chosen": _answer(chosen.text),
                    "rejected": _answer(rejected.text),
                }
            )
    ordered = sorted(kept, key=lambda each: _place(each.prompt.id))
    ordered = ordered[: keep_count(len(learnt), keep_share)]
    return Rows((*learnt, *map(_keep_row, ordered)), tuple(pairs), len(learnt))


def is_for_sft(prompt: Prompt, sft_share: float) -> bool:
    """Whether answers to a prompt are for SFT; the others are for DPO."""
    return _place(prompt.id) < sft_share


def keep_count(learnt: int, keep_share: float) -> int:
    """The number of keep rows beside rows that are learnt, so that they are `keep_share` of all."""
    return round(keep_share / (1 - keep_share) * learnt)


def order_of_keep(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Keep prompts in the order in which they are used."""
    return sorted(prompts, key=lambda prompt: _place(prompt.id))


def to_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as JSON lines."""
    return b"".join(json.canonical(dict(row)) + b"\n" for row in rows)


def _rank(answer: Judged) -> tuple[int, int, int]:
    """The shortest right answer is best; then the first source, and the first draw."""
    return len(answer.text), answer.source, answer.draw


def _pair(answers: Sequence[Judged]) -> tuple[Judged, Judged] | None:
    """The best right and the first wrong answer of one source; None if no source has both."""
    for source in sorted({answer.source for answer in answers}):
        own = [answer for answer in answers if answer.source == source]
        right = min((each for each in own if each.passed), key=_rank, default=None)
        wrong = min((each for each in own if not each.passed), key=lambda e: e.draw, default=None)
        if right is not None and wrong is not None:
            return right, wrong
    return None


def _place(name: str) -> float:
    """A number in [0, 1) that depends on the id alone, so that adding prompts moves no other."""
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big") / 2.0**64


def answer_row(prompt: Prompt, text: str) -> Mapping[str, Any]:
    """A row of SFT."""
    return {"prompt": _plain(prompt.messages), "completion": _answer(text)}


def _keep_row(kept: KeptAnswer) -> Mapping[str, Any]:
    row = answer_row(kept.prompt, kept.text)
    return {**row, CUT: True} if kept.cut_off else row


def _plain(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    return [{"role": each.role, "content": each.content} for each in messages]


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
