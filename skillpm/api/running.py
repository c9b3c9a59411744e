"""Methods of `Project` that run the base: load it, choose skills for texts, and answer."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.answers import AUTO, Answer, AnsweringProject, Turn, chat_of, named_skill
from skillpm.api.client import Client
from skillpm.api.extras import needs_hf
from skillpm.api.grafting import GraftingProject
from skillpm.api.values import RouteDecision
from skillpm.spec.answer_settings import MAX_TOKENS, AnswerSettings

if TYPE_CHECKING:
    from skillpm.environment.project import ProjectFolder
    from skillpm.flows.evaluate.live import LiveRouter
    from skillpm.live.model import LiveModel
    from skillpm.spec.names import SkillName


class RunningProject(GraftingProject):
    """An open project whose base runs in this process."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._forget()

    def _forget(self) -> None:
        self._model: LiveModel | None = None
        self._router: LiveRouter | None = None
        self._answering: AnsweringProject | None = None

    @cached_property
    def _folder(self) -> "ProjectFolder":
        from skillpm.environment.project import ProjectFolder

        return ProjectFolder(self.folder)

    @property
    def folder(self) -> Path:
        """The project's folder, absolute."""
        return self._client.folder

    def load_model(
        self, *, device: str = "cpu", dtype: str = "auto", cache_bytes: int | None = None
    ) -> "LiveModel":
        """Load the base as a transformers model, with all installed skills attached, not merged.

        `with model.use_skill("acme/math"):` activates a skill. Decoded skills take at most
        `cache_bytes` of memory, by default the size of the base, but at least 256 MiB. Raises
        `IntegrityError` for another base or a damaged blob, `GraftError` for a base that
        transformers cannot run. Needs the extra `hf`.
        """
        with needs_hf("`load_model` runs the base"):
            from skillpm.flows.evaluate.live import load_live_model
        self._forget()
        model: LiveModel = load_live_model(
            self._client.session, self._folder, device=device, dtype=dtype, cache_bytes=cache_bytes
        )
        self._model = model
        return model

    def load_tokenizer(self) -> object:
        """Load the base's tokenizer with transformers. Needs the extra `hf`."""
        with needs_hf("`load_tokenizer` uses transformers"):
            from skillpm.flows.evaluate.live import base_tokenizer
        return base_tokenizer(self._client.session, self._folder)

    def route(self, texts: Sequence[str]) -> list[RouteDecision]:
        """Choose an installed skill for each text: `model.use_skill(decision.skill)`.

        Runs the base once over all texts. Uses the model from `load_model`, or loads one. Raises
        `UsageError` for a blank text. Needs the extra `hf`.
        """
        if isinstance(texts, str):
            texts = [texts]
        if self._router is None:
            with needs_hf("`route` runs the base"):
                from skillpm.flows.evaluate.live import LiveRouter
            self._router = LiveRouter(self._client.session, self._folder, self._model)
        return [RouteDecision.of(decision) for decision in self._router.route(texts)]

    def run(  # noqa: PLR0913 - the options of `run`
        self,
        text: str | Iterable[Turn],
        *,
        skill: "str | SkillName | None" = AUTO,
        max_tokens: int = MAX_TOKENS,
        temperature: float = 0.0,
        seed: int | None = None,
        system: str | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """Answer a text with a skill, under the base's chat template if it has one.

        `text` may be a conversation, a list of `{"role", "content"}` whose last message is the
        user's. `skill` is the router's choice by default, the name of a skill, or None for the
        base. `on_text` gets the answer part by part. A `temperature` of 0 takes the most likely
        token each time; a `seed` needs a higher one. Uses the model from `load_model`, or loads one
        on the CPU. Raises `UsageError` for a blank text and for bad settings, `UnknownSkillError`
        for a skill that is not installed, `GraftError` for one that cannot run live and for a base
        that generates no text. Needs the extra `hf`.
        """
        settings = AnswerSettings(max_tokens, temperature, seed)
        turns, name = chat_of(text, system), named_skill(skill)
        answering = self._answers([name])
        return answering.answer(turns, answering.choose(turns, name), settings, on_text)

    def compare_answers(
        self,
        text: str | Iterable[Turn],
        *,
        skills: "Iterable[str | SkillName | None] | None" = None,
        max_tokens: int = MAX_TOKENS,
        temperature: float = 0.0,
        seed: int | None = None,
        system: str | None = None,
    ) -> list[Answer]:
        """Answer a text with the base and each skill that can run live, or with those of `skills`.

        The other arguments and the errors are those of `run`.
        """
        settings = AnswerSettings(max_tokens, temperature, seed)
        turns = chat_of(text, system)
        names = None if skills is None else [named_skill(skill) for skill in skills]
        answering = self._answers(names or ())
        chosen = [None, *answering.skills] if names is None else names
        choices = [answering.choose(turns, name) for name in chosen]
        return [answering.answer(turns, choice, settings) for choice in choices]

    def _answers(self, skills: Iterable[str | None]) -> AnsweringProject:
        if self._answering is None:
            self._answering = AnsweringProject(self._client, model=self._model, skills=skills)
        return self._answering

    def close(self) -> None:
        """Release the store and the model from `load_model`."""
        self._forget()
        self._client.close()
