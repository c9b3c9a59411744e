"""Printing answers of the base and its skills, with notes on who answers and why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypedDict

from skillpm.cli.answer_documents import AnswerDocument
from skillpm.cli.output import clean, emit_line, emit_part
from skillpm.cli.state import State
from skillpm.errors import UsageError
from skillpm.spec.answer_settings import AnswerSettings
from skillpm.spec.names import SkillName
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.answers import Answer, AnsweringProject
    from skillpm.api.results import AnsweringChoice

AUTO, BASE = "auto", "base"


def parse_answerer(text: str) -> str | None:
    """A value of `--skill`: a skill's name, None for `base`, or `auto`. Raises `SpecError`."""
    if text == AUTO:
        return AUTO
    return None if text == BASE else str(SkillName.parse(text))


class RunValues(TypedDict):
    """The values of the options of `run` that say how to answer."""

    system: str | None
    max_tokens: int
    temperature: float
    seed: int | None
    stream: bool


@dataclass(frozen=True)
class RunOptions:
    """The options of `run`; `skills` are the values of `--skill`."""

    skills: tuple[str | None, ...]
    settings: AnswerSettings
    system: str | None
    stream: bool

    @classmethod
    def of(cls, skills: tuple[str | None, ...], values: RunValues, *, compare: bool) -> Self:
        """Check the options. Raises `UsageError` for several skills of which one is to answer."""
        if len(skills) > 1 and not compare:
            raise UsageError(
                f"{len(skills)} skills are named; expected one",
                hint="`--compare` shows their answers",
            )
        settings = AnswerSettings(values["max_tokens"], values["temperature"], values["seed"])
        return cls(skills, settings, values["system"], values["stream"])


def print_answer(
    options: RunOptions, generate: "Callable[[Callable[[str], None] | None], Answer]"
) -> "Answer":
    """Print an answer while it is generated, or at its end.

    The last line ends with a line end, also if the generation is interrupted.
    """
    if not options.stream:
        answer = generate(None)
        emit_part(answer.text if answer.text.endswith("\n") else f"{answer.text}\n")
        return answer
    last: str | None = None

    def emit(part: str) -> None:
        nonlocal last
        emit_part(part)
        last = part

    try:
        answer = generate(emit)
    except BaseException:
        if last is not None and not last.endswith("\n"):
            emit_line()
        raise
    if last is None or not last.endswith("\n"):
        emit_line()
    return answer


def say_choice(state: State, answering: "AnsweringProject", choice: "AnsweringChoice") -> None:
    """Print who answers and why, if the router chose, and which files of the skill are ignored."""
    if choice.reason is not None:
        more = ""
        if choice.skill is not None and choice.score is not None:
            more = f" (score {choice.score:.2f})"
        elif choice.score is None and answering.skills:
            more = "; `--skill NAME` names a skill, `--compare` shows all"
        state.say(f"note: {clean(choice.reason)}{more}")
    ignored = answering.notes.get(choice.skill or "")
    if ignored is not None:
        name = clean(choice.skill)
        state.say(
            f"note: {name} runs with the files of the base; its own are ignored: {clean(ignored)}; "
            f"`skillpm graft --only {name}` writes a model with them"
        )


def say_limits(state: State, answer: "Answer", options: RunOptions) -> None:
    """Print whether the answer or the conversation was cut off, and what the limit was."""
    if answer.cut_off:
        full = answer.tokens < options.settings.max_tokens
        limit = "the model's window is full" if full else "`--max-tokens N` allows more"
        state.say(f"note: the answer was cut off after {counted(answer.tokens, 'token')}; {limit}")
    if answer.dropped:
        state.say(
            f"note: the oldest {counted(answer.dropped, 'message')} no longer fit into the model's "
            "window"
        )


def answer_document(answer: "Answer") -> AnswerDocument:
    """An answer as JSON documents have it."""
    return {
        "skill": answer.skill,
        "text": answer.text,
        "seconds": round(answer.seconds, 3),
        "tokens": answer.tokens,
        "cut_off": answer.cut_off,
        "score": None if answer.score is None else round(answer.score, 6),
        "reason": answer.reason,
    }
