"""The documents of each task, which every machine with the environment has, as rows of tokens."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.finetunes import corpora
from benchmarks.finetunes.corpora import Document
from benchmarks.llm import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

FEWEST_BYTES = 400
"""Shorter files are left out."""
TRAINED_BYTES = 1_000_000
"""Only the first documents are turned into tokens: a tune reads a few hundred kB."""
TABLES_APART = 6
"""The tables of calibration, and of the held-out side."""
SEPARATOR = "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class Example:
    """A text to learn. A text with a prompt is an answer: only its tokens count in a loss."""

    name: str
    text: str
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Sides:
    """Three sides of one task; no file, or no table of SQL, is on two of them."""

    train: tuple[Example, ...]
    calibration: tuple[Example, ...]
    held_out: tuple[Example, ...]

    def digest(self) -> str:
        """The SHA-256 of all texts; another release of Python or torch gives another digest."""
        examples = chain(self.train, self.calibration, self.held_out)
        parts = (Document(f"{one.name}/{one.prompt}", one.text) for one in examples)
        return corpora.digest(parts)


def prose() -> Iterator[Document]:
    """Python's reference topics, and the prose of the standard library's docstrings."""
    yield from corpora.topics()
    root = Path(sysconfig.get_path("stdlib"))
    for document in corpora.standard_library():
        yield Document(document.name, corpora.prose(root / document.name))


SOURCES: dict[str, Callable[[], Iterator[Document]]] = {
    "headers": corpora.headers,
    "code": corpora.standard_library,
    "prose": prose,
}


def sides(task: str) -> Sides:
    """The examples of a task; takes a few seconds."""
    if task == "sql":
        return _sql_sides()
    documents = (one for one in SOURCES[task]() if len(one.text) >= FEWEST_BYTES)
    split = corpora.divide(task, documents)
    train = corpora.first(list(split.train), TRAINED_BYTES, corpora.LARGEST_TRAINED)
    return Sides(
        *(
            tuple(Example(one.name, one.text) for one in side)
            for side in (train, split.calibration, split.held_out)
        )
    )


def _sql_sides() -> Sides:
    tables = list(sql.tables())
    cuts = (tables[2 * TABLES_APART :], tables[:TABLES_APART], tables[TABLES_APART:][:TABLES_APART])
    return Sides(
        *(
            tuple(
                Example(f"{table.name}/{number}", question.query, question.prompt)
                for table in side
                for number, question in enumerate(sql.questions(table))
            )
            for side in cuts
        )
    )


def rendered(tokenizer: Any, example: Example) -> str:
    """The text as the model reads it: in the chat template if it has a prompt."""
    if not example.prompt:
        return example.text
    messages = [{"role": "user", "content": example.prompt}]
    messages.append({"role": "assistant", "content": example.text})
    text: str = tokenizer.apply_chat_template(messages, tokenize=False)
    return text


def question(tokenizer: Any, example: Example) -> str:
    """The chat up to where the answer starts."""
    messages = [{"role": "user", "content": example.prompt}]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def training_rows(tokenizer: Any, examples: Sequence[Example], *, context: int) -> torch.Tensor:
    """All examples concatenated, each after a separator: [rows, 2, context] of int64.

    Plane 0 has the tokens, plane 1 whether each counts. The last, shorter row is dropped.
    """
    separator = (tokenizer.convert_tokens_to_ids(SEPARATOR), True)
    spelt = (_spelt(tokenizer, example) for example in examples)
    line = torch.tensor([pair for one in spelt for pair in (separator, *one)])  # [tokens, 2]
    count = len(line) // context
    return line[: count * context].view(count, context, 2).transpose(1, 2).contiguous()


def document_rows(tokenizer: Any, examples: Iterable[Example], *, context: int) -> torch.Tensor:
    """The beginning of each example as a row: [examples, 2, context], padded at the end.

    The first token of an example counts: the separator before it predicts it.
    """
    separator = (tokenizer.convert_tokens_to_ids(SEPARATOR), False)
    padding = (tokenizer.pad_token_id, False)
    rows = []
    for example in examples:
        row = [separator, *_spelt(tokenizer, example)][:context]
        rows.append(row + [padding] * (context - len(row)))
    return torch.tensor(rows).transpose(1, 2).contiguous()


def _spelt(tokenizer: Any, example: Example) -> list[tuple[int, bool]]:
    """Each token of an example, and whether it counts."""
    tokens = tokenizer(rendered(tokenizer, example))["input_ids"]
    if not example.prompt:
        return [(token, True) for token in tokens]
    asked = len(tokenizer(question(tokenizer, example))["input_ids"])
    return [(token, place >= asked) for place, token in enumerate(tokens)]
