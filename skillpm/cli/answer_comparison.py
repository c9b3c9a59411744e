"""`run --compare`: the answers of the base and of skills, side by side or one after another."""

import shutil
import sys
from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

from skillpm.cli.answer_documents import RunDocument
from skillpm.cli.answering import (
    AUTO,
    BASE,
    RunOptions,
    answer_document,
    print_answer,
    say_choice,
    say_limits,
)
from skillpm.cli.output import clean, clean_answer, emit_json, emit_line, emit_part
from skillpm.cli.state import State
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from rich.table import Table

    from skillpm.api.answers import Answer, AnsweringProject, Turn
    from skillpm.api.results import AnsweringChoice

_COLUMN = 32
"""Characters that an answer needs at least to be readable as a column."""
_TAB = 4


def show_comparison(
    state: State, answering: "AnsweringProject", options: RunOptions, turns: "Sequence[Turn]"
) -> None:
    """Answer with the base and each skill, or with those of `--skill`, and show the answers.

    In a terminal that is wide enough they are columns of a table, else blocks.
    """
    routed = answering.choose(turns)
    choices = _choices(answering, options, routed)
    say_choice(state, answering, routed)
    if not options.skills:
        for skill, reason in answering.refused.items():
            state.say(f"note: {clean(skill)} cannot run live: {clean(reason)}")
    if state.json:
        _emit([answering.answer(turns, choice, options.settings) for choice in choices], routed)
        return
    width = shutil.get_terminal_size().columns
    if sys.stdout.isatty() and width >= _COLUMN * len(choices):
        answers = _columns(state, answering, options, turns, choices)
    else:
        answers = _blocks(answering, options, turns, choices)
    for answer in answers:
        if answer.cut_off:
            say_limits(state, answer, options)
            break


def _choices(
    answering: "AnsweringProject", options: RunOptions, routed: "AnsweringChoice"
) -> "list[AnsweringChoice]":
    """Who answers: each once, the router's choice with its score and reason."""
    named = options.skills or (None, *answering.skills)
    skills = dict.fromkeys(routed.skill if skill == AUTO else skill for skill in named)
    return [routed if skill == routed.skill else answering.choose((), skill) for skill in skills]


def _emit(answers: "Sequence[Answer]", routed: "AnsweringChoice") -> None:
    """Print the router's answer, and all answers under `answers`."""
    chosen = next((answer for answer in answers if answer.skill == routed.skill), answers[0])
    documents = [answer_document(answer) for answer in answers]
    document: RunDocument = {**answer_document(chosen), "answers": documents}
    emit_json(document)


def _title(choice: "AnsweringChoice") -> str:
    chosen = " (the router's choice)" if choice.score is not None else ""
    return f"{clean(choice.skill or BASE)}{chosen}"


def _blocks(
    answering: "AnsweringProject",
    options: RunOptions,
    turns: "Sequence[Turn]",
    choices: "Sequence[AnsweringChoice]",
) -> "list[Answer]":
    answers = []
    for place, choice in enumerate(choices):
        if place:
            emit_line()
        emit_line(f"== {_title(choice)} ==")
        answers.append(
            print_answer(
                options,
                lambda emit, choice=choice: answering.answer(  # type: ignore[misc]
                    turns, choice, options.settings, emit
                ),
            )
        )
    return answers


def _columns(
    state: State,
    answering: "AnsweringProject",
    options: RunOptions,
    turns: "Sequence[Turn]",
    choices: "Sequence[AnsweringChoice]",
) -> "list[Answer]":
    from rich.console import Console
    from rich.live import Live

    texts = ["" for _ in choices]
    answers = list["Answer"]()
    console = Console(stderr=True, quiet=state.quiet or not options.stream)
    with Live(console=console, transient=True, refresh_per_second=8) as live:
        for place, choice in enumerate(choices):

            def add(part: str, place: int = place) -> None:
                texts[place] += part
                live.update(_table(choices, texts, answers))

            answers.append(answering.answer(turns, choice, options.settings, add))
    emit_part(_rendered(_table(choices, texts, answers), shutil.get_terminal_size().columns))
    return answers


def _table(
    choices: "Sequence[AnsweringChoice]", texts: Sequence[str], answers: "Sequence[Answer]"
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(show_footer=True, expand=True)
    for place, choice in enumerate(choices):
        answer = answers[place] if place < len(answers) else None
        end = "" if answer is None else f"{counted(answer.tokens, 'token')}, {answer.seconds:.1f} s"
        table.add_column(Text(_title(choice)), footer=Text(end), ratio=1, overflow="fold")
    table.add_row(*(Text(clean_answer(text).expandtabs(_TAB).strip("\n")) for text in texts))
    return table


def _rendered(table: "Table", width: int) -> str:
    """A table as text without colours."""
    from rich.console import Console

    text = StringIO()
    Console(file=text, width=width, color_system=None).print(table)
    return text.getvalue()
