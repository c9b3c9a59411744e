"""Answers of a model to held-out SQL questions, generated greedily and checked by execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmarks.llm import sql, texts

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = 32
LONGEST = 48
"""Tokens of an answer; the longest right one has about 30."""


def held_out_questions() -> list[sql.Question]:
    """The questions about the held-out tables, in the order of the held-out examples."""
    tables = list(sql.tables())[: texts.TABLES_APART]
    return [question for table in tables for question in sql.questions(table)]


@torch.inference_mode()
def answers(model: Any, tokenizer: Any, questions: Sequence[sql.Question]) -> list[str]:
    """One greedy answer to each question, in the chat template."""
    found: list[str] = []
    for start in range(0, len(questions), BATCH):
        part = questions[start : start + BATCH]
        asked = [texts.question(tokenizer, texts.Example("", "", one.prompt)) for one in part]
        inputs = tokenizer(asked, return_tensors="pt", padding=True, padding_side="left")
        out = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)
        fresh = out[:, inputs["input_ids"].shape[1] :]
        found += tokenizer.batch_decode(fresh, skip_special_tokens=True)
    return [answer.strip() for answer in found]


def score(model: Any, tokenizer: Any, questions: Sequence[sql.Question]) -> float:
    """The share of questions whose answer, run on several databases, gives the right rows."""
    found = answers(model, tokenizer, questions)
    right = [sql.is_right(one, answer) for one, answer in zip(questions, found, strict=True)]
    return sum(right) / len(right)
