"""Measures general ability: answers that a model generates, and the likelihood of prose.

Perplexity of prose does not show that a model answers general questions in the form of its new
skill. So the tuned model answers general questions. An answer is kept if most words that it adds
to the question are in the base's own answer, or if the base finds it nearly as likely as its own.
The first rule accepts short answers, whose likelihood per token is low ("Paris."), the second one
accepts other wordings. A query meets neither. An answer that repeats itself until the limit is
likely, and lost.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from skillpm.parallel import Advance, no_advance
from skillpm.probing.likelihoods import Row, predict, whole_text_row
from skillpm.running.generation import PROMPT_TOKENS, chat_tokens
from skillpm.running.runner import Runner
from skillpm.spec.probe_items import TEXT_LIMIT
from skillpm.transfer.answers import CUT_OFF, RecordedAnswer
from skillpm.transfer.general import PROSE
from skillpm.transfer.prompts import Prompt

GAP = 1.0
"""Nats per token by which the base's log-likelihood of a kept answer may be below its own's."""
OVERLAP = 0.6
"""The share of an answer's new words in the base's answer from which on it is kept."""
REPETITIONS = 3
"""The number of times in a row from which on the last words of an answer are a repetition."""
_WORD = re.compile(r"\w+")
TOLERATED = 0.02
"""The share of general answers that may be lost."""


@dataclass(frozen=True)
class Ability:
    """What a model can do: shares of right and of kept answers, and nats per token of prose."""

    skill: float
    general: float
    prose: float | None

    @property
    def holds_bar(self) -> bool:
        """Whether the general answers are within `TOLERATED` of the base's."""
        return self.general >= 1 - TOLERATED - 1e-9

    def to_dict(self) -> dict[str, float | None]:
        """The ability as plain JSON."""
        return {"skill": self.skill, "general": self.general, "prose": self.prose}


def kept_answers(
    base: Runner,
    prompts: Sequence[Prompt],
    before: Sequence[RecordedAnswer],
    after: Sequence[RecordedAnswer],
    advance: Advance = no_advance,
) -> Mapping[str, bool]:
    """For each general prompt, whether the tuned model's answer is as good as the base's own.

    An answer that reaches the limit of tokens where the base's ended must be likely, and is lost if
    it repeats itself. An empty answer is lost.
    """
    old = {answer.id: answer for answer in before}
    new = {answer.id: answer for answer in after}
    rows, compared = [], []
    kept: dict[str, bool] = {}
    for prompt in prompts:
        theirs, ours = old[prompt.id], new[prompt.id]
        runs_on = ours.finish == CUT_OFF != theirs.finish
        same = ours.text == theirs.text
        kept[prompt.id] = same or (not runs_on and _shares_words(prompt, ours.text, theirs.text))
        if kept[prompt.id] or not ours.text.strip() or (runs_on and repeats(ours.text)):
            continue
        compared.append(prompt.id)
        rows += [_answer_row(base, prompt, theirs), _answer_row(base, prompt, ours)]
    predictions = predict(base, rows)
    for number, name in enumerate(compared):
        expected, found = predictions[2 * number], predictions[2 * number + 1]
        gap = _per_token(expected.nats, expected.tokens) - _per_token(found.nats, found.tokens)
        kept[name] = gap <= GAP
    advance(len(prompts))
    return kept


def overlap(answer: str, base: str, question: str) -> float:
    """The share of an answer's words that are in the base's answer; 0 without words.

    Words of the question do not count: an answer that only repeats them says nothing.
    """
    words, known, asked = (set(_WORD.findall(text.casefold())) for text in (answer, base, question))
    said = words - asked
    return len(said & known) / len(said) if said else 0.0


def _shares_words(prompt: Prompt, answer: str, base: str) -> bool:
    question = " ".join(message.content for message in prompt.messages)
    return overlap(answer, base, question) >= OVERLAP


def repeats(answer: str) -> bool:
    """Whether an answer ends with the same words `REPETITIONS` times in a row.

    The last word is left out, because the limit of tokens may have cut it off.
    """
    words = _WORD.findall(answer.casefold())[:-1]
    spans = (
        (period, (REPETITIONS - 1) * period) for period in range(1, len(words) // REPETITIONS + 1)
    )
    return any(words[-span:] == words[-span - period : -period] for period, span in spans)


def prose_loss(runner: Runner) -> float | None:
    """The mean loss of skillpm's prose in nats per token; None if no text has two tokens."""
    found = predict(runner, [whole_text_row(runner, text) for text in PROSE])
    tokens = sum(prediction.tokens for prediction in found)
    loss = -sum(prediction.nats for prediction in found) / tokens if tokens else math.inf
    return loss if math.isfinite(loss) else None


def chat_text(runner: Runner, prompt: Prompt, answer: str) -> str | None:
    """A chat with an answer as one text under the template; None if a probe cannot carry it."""
    text = runner.tokenizer.decode(chat_tokens(runner, list(prompt.messages))) + answer
    return text if len(text) <= TEXT_LIMIT and text.strip() else None


def _answer_row(runner: Runner, prompt: Prompt, answer: RecordedAnswer) -> Row:
    chat = chat_tokens(runner, list(prompt.messages))[-PROMPT_TOKENS:]
    encoded = runner.tokenizer(answer.text, add_special_tokens=False)["input_ids"]
    ids = cast("list[int]", encoded)
    end = runner.tokenizer.eos_token_id
    if answer.finish != CUT_OFF and end is not None:
        ids = [*ids, end]
    return Row((*chat, *ids), max(1, len(chat)))


def _per_token(nats: float, tokens: int) -> float:
    value = nats / tokens if tokens else 0.0
    return value if math.isfinite(value) else -math.inf
