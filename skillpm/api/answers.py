"""Answers of a base and its skills: the model that is open, its questions and its results."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from skillpm.api.client import Client
from skillpm.api.extras import needs_hf
from skillpm.errors import NotFoundError, UsageError
from skillpm.spec.answer_settings import AnswerSettings
from skillpm.spec.names import SkillName

if TYPE_CHECKING:
    from skillpm.flows.evaluate.ask import AnsweringChoice, AnsweringModel, GeneratedAnswer

AUTO = "auto"
"""The name of the router's choice, in place of a skill."""
Turn = Mapping[str, str]
"""A message of a conversation, with `role` (`system`, `user` or `assistant`) and `content`."""
_ROLES = frozenset({"system", "user", "assistant"})


@dataclass(frozen=True)
class Answer:
    """The answer of a skill, or of the base if `skill` is None.

    `seconds` is the time that the model took for its `tokens`; loading is not counted. `cut_off` if
    `max_tokens` or the model's window ended the answer. `score` and `reason` are the router's; they
    are None for a skill that the caller named. `dropped` counts the oldest messages of the
    conversation that did not fit into the model's window.
    """

    skill: str | None
    text: str
    seconds: float
    tokens: int = field(default=0, repr=False)
    cut_off: bool = field(default=False, repr=False)
    score: float | None = field(default=None, repr=False)
    reason: str | None = field(default=None, repr=False)
    dropped: int = field(default=0, repr=False)

    @classmethod
    def of(cls, choice: "AnsweringChoice", generated: "GeneratedAnswer") -> Self:
        """Convert a flow's result."""
        return cls(
            choice.skill,
            generated.text,
            generated.seconds,
            generated.tokens,
            generated.cut_off,
            choice.score,
            choice.reason,
            generated.dropped,
        )


def chat_of(text: "str | Iterable[Turn]", system: str | None = None) -> list[Turn]:
    """A text or a conversation as messages, after a system message if there is one.

    Raises `UsageError` unless the last message is the user's, with some text in UTF-8, and only the
    first is a system message.
    """
    turns: list[Turn] = []
    turns += [{"role": "user", "content": text}] if isinstance(text, str) else text
    if system is not None:
        turns = [{"role": "system", "content": system}, *turns]
    for turn in turns:
        if set(turn) != {"role", "content"} or turn["role"] not in _ROLES:
            raise UsageError(
                f"a message is {dict(turn)!r}; expected the keys `role` (system, user or "
                "assistant) and `content`"
            )
        _check_text(turn["content"])
    if not turns or turns[-1]["role"] != "user" or not turns[-1]["content"].strip():
        raise UsageError("the text is blank", hint='`skillpm run "what is 2 + 2?"`')
    if any(turn["role"] == "system" for turn in turns[1:]):
        raise UsageError("only the first message can be a system message", hint="use one of them")
    return turns


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise UsageError(f"the content of a message is {text!r}; expected text")
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise UsageError("the text is not UTF-8", hint="convert it with `iconv`") from problem


class AnsweringProject:
    """The base of a project in memory, with the installed skills: chooses skills and answers.

    Without a project, the model of `--base` answers alone. Raises `NotFoundError` if there is
    neither, `GraftError` for a base that generates no text, and the errors of
    `Project.load_model`. Needs the extra `hf`.
    """

    def __init__(
        self,
        client: Client,
        *,
        device: str = "cpu",
        model: object = None,
        skills: Iterable[str | None] = (),
    ) -> None:
        from skillpm.environment.project import ProjectFolder

        named = [skill for skill in skills if skill is not None and skill != AUTO]
        with needs_hf("`run` runs the base"):
            from skillpm.flows.evaluate.ask import open_answering_base, open_answering_model
        session, project = client.session, ProjectFolder(client.folder)
        self._model: AnsweringModel
        if project.file.exists():
            self._model = open_answering_model(
                session, project.require(), device=device, model=model, skills=named
            )
        elif session.base is not None and not named:
            self._model = open_answering_base(session.base, device=device)
        else:
            raise NotFoundError(
                f"`{client.folder}` is not a project: it has no skillpm.toml",
                hint="`skillpm init --base ./model`, or only `skillpm run --base ./model`",
            )

    @property
    def skills(self) -> tuple[str, ...]:
        """The skills that can answer."""
        return tuple(self._model.model.skills)

    @property
    def refused(self) -> Mapping[str, str]:
        """The installed skills that cannot run live, each with the reason."""
        refused: Mapping[str, str] = self._model.model.refused
        return refused

    @property
    def notes(self) -> Mapping[str, str]:
        """The files of skills that a live model ignores, as text, by skill."""
        notes: Mapping[str, str] = self._model.model.notes
        return notes

    @property
    def has_template(self) -> bool:
        """Whether the base has a chat template. Without one, each text is continued alone."""
        return self._model.has_template

    def choose(self, turns: Sequence[Turn], skill: str | None = AUTO) -> "AnsweringChoice":
        """The skill that answers: the router's choice for the last message, or the named one."""
        from skillpm.flows.evaluate.ask import AnsweringChoice

        if skill == AUTO:
            return self._model.choose(turns[-1]["content"])
        return AnsweringChoice(skill)

    def answer(
        self,
        turns: Sequence[Turn],
        choice: "AnsweringChoice",
        settings: AnswerSettings,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """The answer to messages from `chat_of`. `on_text` gets it part by part."""
        generated = self._model.answer(turns, choice.skill, settings, on_text or _ignore)
        return Answer.of(choice, generated)


def named_skill(skill: "str | SkillName | None") -> str | None:
    """A skill's name, checked; `auto` and None (the base) stay. Raises `SpecError`."""
    return skill if skill in (AUTO, None) else str(SkillName.parse(str(skill)))


def _ignore(_text: str) -> None:
    return None
