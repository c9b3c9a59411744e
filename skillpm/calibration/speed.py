"""How long a calibration takes on this machine: from the operations of a model and their speed.

A token costs 2 operations for each parameter forward and 4 backward (Kaplan et al. 2020, arXiv
2001.08361, section 2.1). Of a causal LM, weights need no gradient, which saves half of the backward
pass; each token costs the products δ δᵀ and x xᵀ of each layer, and its answer costs time for each
word of the vocabulary. Of an encoder, each batch costs the products g gᵀ and gᵀ g of each gradient.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from skillpm.delta.auto.weights import WIDEST
from skillpm.delta.encoding.torch_device import torch_threads
from skillpm.errors import GraftError
from skillpm.running.folder import (
    checked_config,
    is_causal,
    is_foreign,
    is_too_large,
    not_runnable,
    refuse_adapter,
)
from skillpm.running.runner import BATCH, TOKENS

_SIDE, _TIMES = 1024, 3
_WORDS = 1 << 18
"""The most words of a vocabulary that are timed; a config may claim millions."""
_ROWS = 64
"""Rows of a matrix product and of answers that are timed."""
_SAMPLE = 1 << 18
"""The characters of the texts whose tokens are counted."""
FORWARD, BACKWARD = 2, 4
_LOGITS = 6
"""Arrays of a batch's logits in float32 that are in memory at once, with their gradients."""


@dataclass(frozen=True)
class MachineSpeed:
    """Operations per second of a matrix product, and seconds for an answer's word."""

    operations: float
    forward_word: float
    training_word: float

    @classmethod
    def measure(cls, vocabulary: int) -> "MachineSpeed":
        """Time a matrix product, and the answers of a few tokens, in processor seconds."""
        left, right = torch.randn(_SIDE, _SIDE), torch.randn(_SIDE, _SIDE)
        timed = min(vocabulary, _WORDS)
        logits = torch.randn(_ROWS, timed, requires_grad=True)
        with torch_threads(1):
            seconds = min(_seconds(lambda: left @ right) for _ in range(_TIMES))
            with torch.no_grad():
                forward = min(_seconds(lambda: _compare(logits)) for _ in range(_TIMES))
            training = min(_seconds(lambda: _train(logits)) for _ in range(_TIMES))
        words = _ROWS * timed
        return cls(2 * _SIDE**3 / seconds, forward / words, training / words)


def _seconds(run: Any) -> float:
    started = time.thread_time()
    run()
    return time.thread_time() - started


def _compare(logits: torch.Tensor) -> float:
    """What the divergence of an answer from another one takes."""
    answer = torch.log_softmax(logits, dim=-1)
    reference = answer.half().float()
    return float((reference.exp() * (reference - answer)).sum())


def _train(logits: torch.Tensor) -> None:
    """What sampled labels and their gradient take."""
    answer = torch.log_softmax(logits, dim=-1)
    labels = torch.multinomial(answer.detach().exp(), 1)
    (-answer.gather(1, labels).sum()).backward()


@dataclass(frozen=True)
class ModelRun:
    """What runs: the shapes of matrices that a token passes, and of those that get a gradient.

    `embedding` is the number of parameters that a token only looks up.
    """

    shapes: tuple[tuple[int, ...], ...]
    changed: tuple[tuple[int, ...], ...]
    vocabulary: int
    causal: bool
    streamed: bool

    def training_seconds(self, speed: MachineSpeed, tokens: int) -> float:
        """The seconds to gather Fisher factors over some tokens."""
        backward = BACKWARD // 2 if self.causal else BACKWARD
        passes = FORWARD + backward + (FORWARD if self.streamed else 0)
        batches = max(1, -(-tokens // (BATCH * TOKENS)))
        products = (
            2 * tokens * sum(map(_factors, self.changed))
            if self.causal
            else batches * sum(map(_outer, self.changed))
        )
        operations = passes * self._parameters * tokens + products
        words = tokens * self.vocabulary if self.causal else 0
        return operations / speed.operations + words * speed.training_word

    def forward_seconds(self, speed: MachineSpeed, tokens: int) -> float:
        """The seconds to answer some tokens and to compare the answers."""
        words = tokens * self.vocabulary if self.causal else 0
        operations = FORWARD * self._parameters * tokens
        return operations / speed.operations + words * speed.forward_word

    @property
    def _parameters(self) -> int:
        return sum(prod(shape) for shape in self.shapes if len(shape) > 1)

    def memory_bytes(self, weights: int, layers: int) -> int:
        """The memory of the model in float32, a gradient or the answers, and Fisher factors.

        `weights` is the number of all parameters. Of a streamed model, one of its layers is held.
        """
        held = 4 * weights
        if self.streamed:
            ends = self.vocabulary * min(self.shapes[0], default=0) * 2
            held = 4 * (ends + 2 * weights // max(1, layers))
        work = max((prod(shape) for shape in self.shapes), default=0)
        if self.causal:  # one sequence at a time, and no gradient of a weight
            work = _LOGITS * TOKENS * self.vocabulary
        return held + 4 * work + 4 * sum(map(_factors, self.changed))


def _outer(shape: tuple[int, ...]) -> int:
    """The operations of the products g gᵀ and gᵀ g."""
    rows, columns = shape[0], prod(shape[1:])
    if len(shape) == 1:
        return rows
    entries = rows * columns
    return sum(2 * entries * (side if side <= WIDEST else 1) for side in (rows, columns))


def _factors(shape: tuple[int, ...]) -> int:
    """The entries of both Fisher factors."""
    sides = (shape[0], prod(shape[1:])) if len(shape) > 1 else (shape[0],)
    return sum(side * side if side <= WIDEST else side for side in sides)


@dataclass(frozen=True)
class TextLength:
    """A model's config facts, and the tokens of a calibration text."""

    tokens: int
    vocabulary: int
    causal: bool
    streamed: bool
    layers: int

    @classmethod
    def of(cls, folder: Path, texts: Iterable[str], device: str) -> "TextLength":
        """Count tokens in a sample of the texts.

        Raises `GraftError` if the config or the tokenizer cannot be loaded.
        """
        refuse_adapter(folder)
        config, tokenizer = _load(folder)
        if config.is_encoder_decoder:
            raise GraftError(f"`{folder}` is an encoder-decoder, which cannot be run yet")
        whole = list(texts)
        seen, characters = 0, 0
        for text in whole:
            part = text[: _SAMPLE - characters]
            seen += len(tokenizer(part, truncation=False)["input_ids"])
            characters += len(part)
            if characters >= _SAMPLE:
                break
        every = sum(map(len, whole))
        causal = is_causal(config)
        streamed = causal and device == "cpu" and is_too_large(config, folder)
        vocabulary, layers = (_number(config, key) for key in ("vocab_size", "num_hidden_layers"))
        return cls(round(seen * every / max(1, characters)), vocabulary, causal, streamed, layers)


def _load(folder: Path) -> tuple[Any, Any]:
    """The config and the tokenizer of a model folder."""
    try:
        return checked_config(folder), AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False
        )
    except BaseException as problem:
        if not is_foreign(problem):
            raise
        hint = "a model folder needs config.json and the tokenizer's files"
        raise not_runnable(folder, problem, hint) from problem


def _number(config: Any, key: str) -> int:
    """A number of the config of a text model; 0 if it has none."""
    value = getattr(config.get_text_config(), key, None)
    return value if isinstance(value, int) else 0
