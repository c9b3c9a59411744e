"""Answers of a causal LM to chats, under its chat template: in batches, or as a stream."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from skillpm.errors import GraftError
from skillpm.running.chat import chat_ids, template_errors, text_of
from skillpm.running.runner import Runner
from skillpm.running.streamed_text import StreamedText
from skillpm.running.untrusted_files import SandboxedTokenizer
from skillpm.spec.chat import ChatMessage, to_plain

PROMPT_TOKENS = 2048
"""Tokens of a chat that a model reads. A longer one loses its beginning."""
_ROWS = 32
_BATCH_TOKENS = 1 << 14
"""Tokens of a batch, read and generated, with padding."""


@dataclass(frozen=True)
class ChatQuestion:
    """A chat, and the most tokens of its answer."""

    messages: list[ChatMessage]
    max_tokens: int


@torch.no_grad()
def greedy_answers(
    runner: Runner, questions: Sequence[ChatQuestion], *, seconds: float
) -> list[str]:
    """The text of the most likely token after each token, until an end token or `max_tokens`.

    The model's own generation config decides nothing but its end tokens. Raises `GraftError` if all
    answers together take more than `seconds`.
    """
    prompts = []
    for question in questions:
        room, _ = _lengths(runner, question.max_tokens)
        prompts.append(chat_tokens(runner, question.messages)[-room:])
    deadline = _Deadline(time.monotonic() + seconds)
    answers: dict[int, str] = {}
    sizes = [
        len(ids) + question.max_tokens for ids, question in zip(prompts, questions, strict=True)
    ]
    for indices in _batches(sizes):
        most = max(_lengths(runner, questions[index].max_tokens)[1] for index in indices)
        rows = _generate(runner, [prompts[index] for index in indices], most, deadline)
        if deadline.passed:
            raise GraftError(
                f"the model took more than {seconds:g} seconds to generate "
                f"{len(questions)} answers",
                hint="use fewer judged items or a smaller `max_tokens`, or a faster device",
            )
        for index, row in zip(indices, rows, strict=True):
            answers[index] = _text_of(runner, row[: questions[index].max_tokens])
    return [answers[index] for index in range(len(questions))]


@dataclass(frozen=True)
class Draw:
    """How tokens are drawn: a temperature over 0, the nucleus `top_p`, and a seed."""

    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True)
class DrawnAnswer:
    """A generated answer, its number of tokens, and whether `max_tokens` cut it off."""

    text: str
    tokens: int
    cut_off: bool


@torch.no_grad()
def answer_batch(
    runner: Runner, questions: Sequence[ChatQuestion], draw: Draw | None
) -> list[DrawnAnswer]:
    """Answer all questions in one batch; greedily without `draw`.

    Equal batches give equal answers on the same machine. torch's random numbers are as before
    afterwards.
    """
    room, most = _lengths(runner, max(question.max_tokens for question in questions))
    prompts = [chat_tokens(runner, question.messages)[-room:] for question in questions]
    devices = [runner.device] if runner.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        if draw is not None:
            torch.manual_seed(draw.seed)
        rows = _generate(runner, prompts, most, _Deadline(float("inf")), draw)
    return [
        DrawnAnswer(_text_of(runner, row), len(row), len(row) >= min(most, question.max_tokens))
        for row, question in zip(rows, questions, strict=True)
    ]


@torch.no_grad()
def stream_answer(
    runner: Runner,
    prompt: Sequence[int],
    most: int,
    draw: Draw | None,
    on_text: Callable[[str], None],
) -> DrawnAnswer:
    """Answer the tokens of one prompt with at most `most` tokens; greedily without `draw`.

    `on_text` gets each part of the text as soon as later tokens cannot change it; the text of the
    answer is all parts together. An error of `on_text`, or Ctrl-C, ends the generation. torch's
    random numbers are as before afterwards.
    """
    text = StreamedText(partial(_text_of, runner), _end_tokens(runner), on_text)
    devices = [runner.device] if runner.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        if draw is not None:
            torch.manual_seed(draw.seed)
        deadline = _Deadline(float("inf"))
        (row,) = _generate(runner, [prompt], most, deadline, draw, _TokenStream(text))
    text.end()
    return DrawnAnswer(text.text, len(row), len(row) >= most)


class _TokenStream(BaseStreamer):
    """Passes each new token to a text. The first call of `generate` has the prompt."""

    def __init__(self, text: StreamedText) -> None:
        self._text = text
        self._is_prompt = True

    def put(self, value: torch.Tensor) -> None:
        """Take the tokens of a step."""
        if not self._is_prompt:
            for token in value.flatten().tolist():
                self._text.add(token)
        self._is_prompt = False

    def end(self) -> None:
        """Take the end of the generation."""


class _Deadline(StoppingCriteria):
    """Stops a generation at a time of the monotonic clock."""

    def __init__(self, at: float) -> None:
        self._at = at
        self.passed = False

    def __call__(self, input_ids: torch.Tensor, _scores: Any, **_settings: Any) -> torch.Tensor:
        self.passed = self.passed or time.monotonic() > self._at
        return torch.full((len(input_ids),), self.passed, device=input_ids.device)


def _generate(
    runner: Runner,
    prompts: Sequence[Sequence[int]],
    most: int,
    deadline: _Deadline,
    draw: Draw | None = None,
    streamer: BaseStreamer | None = None,
) -> list[list[int]]:
    """The new tokens of each prompt, without its end token and what follows it.

    The prompts are padded on the left, so that every answer begins in the same column.
    """
    ends = _end_tokens(runner)
    width = max(map(len, prompts))
    pad = runner.tokenizer.pad_token_id
    pad = min(ends, default=0) if pad is None else pad
    ids = torch.tensor([[*[pad] * (width - len(row)), *row] for row in prompts])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])
    decoding = _is_encoder_decoder(runner)
    defaults: Any = GenerationConfig
    model, kept = runner.model, runner.model.generation_config
    model.generation_config = defaults()
    try:
        generated = model.generate(
            ids.to(runner.device),
            attention_mask=mask.to(runner.device),
            max_new_tokens=most,
            do_sample=draw is not None,
            **_drawing(draw),
            **({"decoder_start_token_id": kept.decoder_start_token_id} if decoding else {}),
            pad_token_id=pad,
            eos_token_id=sorted(ends) or None,
            stopping_criteria=StoppingCriteriaList([deadline]),
            streamer=streamer,
        )
    finally:
        model.generation_config = kept
    return [_before_end(row, ends) for row in generated[:, 1 if decoding else width :].tolist()]


def _drawing(draw: Draw | None) -> dict[str, Any]:
    """The arguments of `generate` for a draw; `top_k` is unlimited."""
    return (
        {} if draw is None else {"temperature": draw.temperature, "top_p": draw.top_p, "top_k": 0}
    )


def _before_end(row: list[int], ends: frozenset[int]) -> list[int]:
    place = next((place for place, token in enumerate(row) if token in ends), len(row))
    return row[:place]


def _end_tokens(runner: Runner) -> frozenset[int]:
    """The end token of the tokenizer, and those of the model's generation config."""
    named = getattr(runner.model.generation_config, "eos_token_id", None)
    tokens = [runner.tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])]
    return frozenset(token for token in tokens if isinstance(token, int))


def _lengths(runner: Runner, most: int) -> tuple[int, int]:
    """The most tokens of a prompt and of an answer, of which `most` are wanted.

    Both share the window of a causal LM, and an answer gets at most half of it. An encoder-decoder
    has a window for each.
    """
    longest = longest_input(runner)
    if _is_encoder_decoder(runner):
        return min(PROMPT_TOKENS, longest), most
    answer = min(most, max(1, longest // 2))
    return max(1, min(PROMPT_TOKENS, longest - answer)), answer


def longest_input(runner: Runner) -> int:
    """The most tokens that the model takes, prompt and answer together."""
    limits = (
        getattr(runner.model.config, "max_position_embeddings", None),
        getattr(runner.tokenizer, "model_max_length", None),
    )
    return min([1 << 20, *(int(limit) for limit in limits if limit)])


def chat_tokens(runner: Runner, messages: list[ChatMessage]) -> list[int]:
    """The token IDs of a chat under the model's template, up to where the answer begins."""
    tokenizer = runner.tokenizer
    if isinstance(tokenizer, SandboxedTokenizer):
        return tokenizer.chat_ids(to_plain(messages))
    with template_errors(message.content for message in messages):
        return chat_ids(tokenizer, to_plain(messages), complete=_is_encoder_decoder(runner))


def _is_encoder_decoder(runner: Runner) -> bool:
    return bool(getattr(runner.model.config, "is_encoder_decoder", False))


def _text_of(runner: Runner, ids: Sequence[int]) -> str:
    tokenizer = runner.tokenizer
    if isinstance(tokenizer, SandboxedTokenizer):
        return tokenizer.text_of(ids)
    return text_of(tokenizer, ids)


def _batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Indices of rows by size, in batches of at most `_ROWS` rows and `_BATCH_TOKENS` tokens."""
    batch: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda index: (sizes[index], index)):
        if batch and (len(batch) == _ROWS or (len(batch) + 1) * sizes[index] > _BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
