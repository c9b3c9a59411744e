"""`run`: the live model of a project answers, as the base or with a skill."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.environment.project import ProjectFolder
from skillpm.errors import GraftError, UnknownSkillError
from skillpm.flows.evaluate.live import LiveRouter, load_bare_model, load_live_model
from skillpm.flows.session.base_model import open_base
from skillpm.flows.session.session import Session, open_model
from skillpm.live.loading import check_generates, load_tokenizer
from skillpm.running.chat_prompt import ChatEncoder, Turn
from skillpm.running.folder import is_causal
from skillpm.running.generation import Draw, stream_answer
from skillpm.running.runner import Runner
from skillpm.spec.answer_settings import AnswerSettings
from skillpm.spec.nearest import did_you_mean

_SEEDS = 1 << 31


@dataclass(frozen=True)
class AnsweringChoice:
    """The skill that answers, None for the base.

    `score` and `reason` are the router's; None if the caller named the skill.
    """

    skill: str | None
    score: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class GeneratedAnswer:
    """An answer, the seconds that the model took for it, and its number of tokens.

    `cut_off` if `max_tokens` or the model's window ended it. `dropped` counts the oldest messages
    of the chat that did not fit.
    """

    text: str
    seconds: float
    tokens: int
    cut_off: bool
    dropped: int


class AnsweringModel:
    """A live model with its tokenizer and router. The weights are in memory until it is freed."""

    def __init__(self, model: Any, folder: Path, router: LiveRouter | None, tokenizer: Any) -> None:
        self.model = model
        self._router = router
        self._runner = Runner(model, tokenizer, is_causal(model.config), str(model.device))
        self._encoder = ChatEncoder(self._runner, folder)

    @property
    def has_template(self) -> bool:
        """Whether the base has a chat template, and therefore answers in a conversation."""
        return self._encoder.has_template

    def choose(self, text: str) -> AnsweringChoice:
        """The router's choice for a text; without a project, the base.

        Raises `UsageError` for a blank text.
        """
        if self._router is None:
            return AnsweringChoice(None)
        if not (self.model.skills or self.model.refused):
            return AnsweringChoice(None, None, "no skill is installed: the base answers")
        (decision,) = self._router.route([text])
        skill = None if decision.skill is None else str(decision.skill)
        return AnsweringChoice(skill, decision.score, decision.reason)

    def answer(
        self,
        turns: Sequence[Turn],
        skill: str | None,
        settings: AnswerSettings,
        on_text: Callable[[str], None],
    ) -> GeneratedAnswer:
        """Answer the last message of a chat with a skill; None is the base.

        `on_text` gets the answer part by part. Raises `UnknownSkillError` for a skill that is not
        installed, `GraftError` for one that cannot run live, and for a chat that does not fit.
        """
        prompt = self._encoder.encode(turns, settings.max_tokens)
        with self.model.use_skill(skill):
            started = time.perf_counter()
            answer = stream_answer(self._runner, prompt.ids, prompt.most, _draw(settings), on_text)
            seconds = time.perf_counter() - started
        return GeneratedAnswer(answer.text, seconds, answer.tokens, answer.cut_off, prompt.dropped)


def open_answering_model(
    session: Session,
    project: ProjectFolder,
    *,
    device: str = "cpu",
    model: Any = None,
    skills: Sequence[str] = (),
) -> AnsweringModel:
    """Load the live model of a project, or use `model` if it is loaded already.

    Raises `UnknownSkillError` if one of `skills` is not installed, `GraftError` if the base
    generates no text; both before the weights are read.
    """
    _check_installed(project, skills)
    folder = _folder_of(open_base(session, project).folder)
    check_generates(folder)
    if model is None:
        model = load_live_model(session, project, device=device, warn=False)
    tokenizer = load_tokenizer(folder)
    return AnsweringModel(model, folder, LiveRouter(session, project, model, tokenizer), tokenizer)


def open_answering_base(path: Path, *, device: str = "cpu") -> AnsweringModel:
    """Load a model without a project."""
    base = open_model(path)
    folder = _folder_of(base.folder)
    check_generates(folder)
    model = load_bare_model(base, folder, device)
    return AnsweringModel(model, folder, None, load_tokenizer(folder))


def _draw(settings: AnswerSettings) -> Draw | None:
    """How tokens are drawn; None for the most likely ones."""
    if not settings.temperature:
        return None
    seed = secrets.randbelow(_SEEDS) if settings.seed is None else settings.seed
    return Draw(settings.temperature, 1.0, seed)


def _folder_of(folder: Path | None) -> Path:
    if folder is None:
        raise GraftError(
            "the base is a file; a model that answers needs a model folder",
            hint="name the folder with config.json and the tokenizer: `--base ./model`",
        )
    return folder


def _check_installed(project: ProjectFolder, skills: Sequence[str]) -> None:
    installed = list(map(str, project.generation().installed))
    for skill in skills:
        if skill not in installed:
            hint = did_you_mean(skill, installed, otherwise="`skillpm list`")
            raise UnknownSkillError(f"`{skill}` is not installed", hint=hint)
