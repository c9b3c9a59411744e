"""`run`: the base and its installed skills answer a text."""

import sys
from typing import TYPE_CHECKING, Unpack

import click

from skillpm.cli.answering import (
    AUTO,
    RunOptions,
    RunValues,
    answer_document,
    parse_answerer,
    print_answer,
    say_choice,
    say_limits,
)
from skillpm.cli.output import emit_json
from skillpm.cli.params import SkillParam
from skillpm.cli.probing import DEVICE
from skillpm.cli.state import Command, State, command_client
from skillpm.cli.types import FiniteRange
from skillpm.errors import UsageError
from skillpm.spec.answer_settings import MAX_TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillpm.api.answers import AnsweringProject, Turn

_LIMIT = 1 << 22
"""Characters of a text on stdin."""


@click.command(cls=Command)
@click.argument(
    "text", required=False, help="Text to answer, or `-` for stdin (default: ask on a terminal)."
)
@click.option(
    "--skill",
    "skills",
    metavar="NAME",
    multiple=True,
    type=SkillParam("SKILL", parse_answerer),
    help="Skill that answers, or `base` (default: the router's choice).",
)
@click.option("--compare", is_flag=True, help="Show the answers of the base and of each skill.")
@click.option("--system", metavar="TEXT", help="System message for the chat template.")
@click.option(
    "--max-tokens",
    metavar="N",
    type=click.IntRange(min=1),
    default=MAX_TOKENS,
    show_default=True,
    help="Maximum number of tokens in an answer.",
)
@click.option(
    "--temperature",
    metavar="T",
    type=FiniteRange(min=0),
    default=0.0,
    show_default=True,
    help="Sampling temperature; 0 always takes the most likely token.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    help="Random seed; needs a --temperature above 0 (default: a new seed each time).",
)
@click.option(
    "--stream/--no-stream",
    default=True,
    show_default=True,
    help="Print tokens as they are generated.",
)
@DEVICE
@click.pass_obj
def run(
    state: State,
    /,
    *,
    text: str | None,
    skills: tuple[str | None, ...],
    compare: bool,
    device: str,
    **values: Unpack[RunValues],
) -> None:
    r"""Run the base and its installed skills on a text.

    The router chooses a skill or the base to answer; --skill overrides it. One skill at a time runs
    on the live base with the base's chat template, in merged projects too; `skillpm graft` writes
    the merged model. Without a project, the model of --base answers.

    If TEXT is `-`, or if it is missing and stdin is not a terminal, the text is read from stdin. On
    a terminal without TEXT, questions and answers alternate until Ctrl-D; /help lists the commands.

    \b
    Examples:
      skillpm run "what is 12 times 12?"
      skillpm run --skill acme/math "what is 12 times 12?"
      skillpm run --compare "what is 12 times 12?"
      cat question.txt | skillpm run --json
      skillpm run
    """
    options = RunOptions.of(skills, values, compare=compare)
    turns = _turns(_read(text, as_json=state.json, compare=compare), options.system)
    answering = _open(state, device, skills)
    if turns is None:
        from skillpm.cli.conversation import Conversation

        Conversation(state, answering, options).hold()
    elif compare:
        from skillpm.cli.answer_comparison import show_comparison

        show_comparison(state, answering, options, turns)
    else:
        _answer(state, answering, options, turns)


def _turns(text: str | None, system: str | None) -> "list[Turn] | None":
    """The messages of a question, checked before the base is loaded; None without a question."""
    from skillpm.api.answers import chat_of

    return None if text is None else chat_of(text, system)


def _open(state: State, device: str, names: "tuple[str | None, ...]") -> "AnsweringProject":
    from skillpm.api.answers import AnsweringProject

    answering = AnsweringProject(command_client(state), device=device, skills=names)
    state.close_bars()
    return answering


def _read(text: str | None, *, as_json: bool, compare: bool) -> str | None:
    """The text of the argument or of stdin; None if the terminal asks for texts."""
    if text not in (None, "-"):
        return text
    if text is None and sys.stdin.isatty():
        if as_json or compare or not sys.stdout.isatty():
            raise UsageError(
                "a text is missing; without one, `run` asks and answers on a terminal",
                hint='`skillpm run "what is 2 + 2?"`',
            )
        return None
    try:
        read = sys.stdin.read(_LIMIT + 1)
    except UnicodeDecodeError as problem:
        raise UsageError("the text on stdin is not UTF-8", hint="convert it: `iconv`") from problem
    if len(read) > _LIMIT:
        raise UsageError(
            f"the text on stdin has more than {_LIMIT} characters", hint="ask with a shorter text"
        )
    return read


def _answer(
    state: State, answering: "AnsweringProject", options: RunOptions, turns: "Sequence[Turn]"
) -> None:
    choice = answering.choose(turns, options.skills[0] if options.skills else AUTO)
    say_choice(state, answering, choice)
    if state.json:
        answer = answering.answer(turns, choice, options.settings)
        emit_json(answer_document(answer))
    else:
        answer = print_answer(options, lambda emit: answering.answer(
            turns, choice, options.settings, emit
        ))  # fmt: skip
    say_limits(state, answer, options)
