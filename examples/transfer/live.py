"""Answers of the project's live model: each question by the skill that the router chooses."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

import skillpm
from skillpm.checks.judge import Judge
from skillpm.checks.kinds import parse_check

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from examples.transfer.items import Item

TOKENS = 40


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions of one kind. `skill` should answer them; None: the base."""

    name: str
    skill: str | None
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers, and the skills that the router chose for them; None is the base."""

    asked: Asked
    answers: tuple[str, ...]
    chosen: tuple[str | None, ...]

    @property
    def routed(self) -> int:
        """The number of questions that went to the right skill."""
        return Counter(self.chosen)[self.asked.skill]


def answer_all(project: Path, home: Path, asked: Sequence[Asked]) -> list[Answered]:
    """Load the base once, route each question, and answer it greedily with the chosen skill."""
    with skillpm.open_project(project, home=home) as opened:
        model, tokenizer = opened.load_model(), opened.load_tokenizer()
        found = []
        for each in asked:
            chosen = _chosen(opened, each.questions)
            found.append(Answered(each, _answers(model, tokenizer, each.questions, chosen), chosen))
    return found


def _chosen(project: skillpm.Project, questions: Sequence[str]) -> tuple[str | None, ...]:
    """The skill for each question; the base in a project without skills."""
    if not project.skills:
        return (None,) * len(questions)
    decisions = project.route(questions)
    return tuple(None if each.skill is None else str(each.skill) for each in decisions)


def count_right(items: Sequence[Item], answers: Sequence[str]) -> int:
    """The number of answers that pass the checks of their items; queries are executed."""
    pairs = [(parse_check(item.check), text) for item, text in zip(items, answers, strict=True)]
    with Judge() as judge:
        return sum(verdict.passed for verdict in judge.verdicts(pairs))


def _answers(
    model: Any, tokenizer: Any, questions: Sequence[str], chosen: Sequence[str | None]
) -> tuple[str, ...]:
    """Greedy answers under the chat template: one batch for each skill that was chosen."""
    found: dict[int, str] = {}
    for skill in dict.fromkeys(chosen):
        places = [place for place, name in enumerate(chosen) if name == skill]
        texts = [_chat(tokenizer, questions[place]) for place in places]
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
        with torch.no_grad(), model.use_skill(skill):
            out = model.generate(**batch, max_new_tokens=TOKENS, do_sample=False)
        new = out[:, batch["input_ids"].shape[1] :]
        found |= zip(places, tokenizer.batch_decode(new, skip_special_tokens=True), strict=True)
    return tuple(found[place].strip() for place in range(len(questions)))


def _chat(tokenizer: Any, question: str) -> str:
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    return text
