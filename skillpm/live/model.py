"""The model that people hold: transformers' own, with skills that can be switched to."""

import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, Self, TypeVar

import torch
from torch import nn

from skillpm.errors import GraftError, UsageError
from skillpm.live.bypassed import Bypassed
from skillpm.live.order import BatchLayout
from skillpm.live.places import ParameterMap
from skillpm.live.selection import MixedSkills, Selection, SingleSkill, groups_of
from skillpm.live.shelf import SkillCache
from skillpm.live.stack import SkillLayers
from skillpm.live.touched import ForwardHook
from skillpm.spec.names import SkillName

Named = str | SkillName | None
"""One skill as people name it, or as the router does; None is the base."""
Chosen = Named | Sequence[Named]
_Chosen = str | list[str | None] | None
_Returned = TypeVar("_Returned")
_INPUTS = ("input_ids", "inputs_embeds", "inputs", "pixel_values", "input_features")


class Switch:
    """What is attached to one model, and what is active in this thread or task."""

    def __init__(self, shelf: SkillCache, active: ContextVar[Selection | None]) -> None:
        self.shelf = shelf
        self.active = active
        self.order = BatchLayout(shelf.places.model, self.active)
        self.generates: ContextVar[bool] = ContextVar("generates", default=False)

    def select(self, chosen: _Chosen) -> Selection | None:
        """What runs for this choice; made now where it is not ready."""
        if chosen is None:
            return None
        if isinstance(chosen, str):
            return SingleSkill(self.shelf.get(chosen))
        groups = tuple(groups_of(chosen, self.shelf.get))
        ready = [group.ready for group in groups if group.ready is not None]
        layouts = self.order.layouts(ready) if len(groups) > 1 else {}
        return MixedSkills(len(chosen), groups, layouts)

    def check_rows(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A list of skills fits the batch that a model is called with, or `GraftError`."""
        selection = self.active.get()
        if not isinstance(selection, MixedSkills):
            return
        rows, tokens = _shape_of(args, kwargs)
        wide = self.generates.get() and rows and not rows % selection.batch
        if rows is not None and rows != selection.batch and not wide:
            raise _misfit(selection.batch, rows)
        selection.width = rows or selection.batch
        selection.tokens = None if self.shelf.places.model.config.is_encoder_decoder else tokens

    def __call__(self, _model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """As a hook before the model's forward."""
        self.check_rows(args, kwargs)

    @contextmanager
    def generating(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[None]:
        """While the block runs, a row may stand for several: beams, and samples of one prompt."""
        self.check_rows(args, kwargs)
        token = self.generates.set(True)
        try:
            yield
        finally:
            self.generates.reset(token)


def _shape_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The rows of a batch and the tokens of each; None where the call does not tell."""
    values = [*args[:1], *(kwargs.get(name) for name in _INPUTS)]
    for value in values:
        if torch.is_tensor(value) and value.dim():
            return value.shape[0], value.shape[1] if value.dim() > 1 else None
    return None, None


def _misfit(skills: int, rows: int) -> GraftError:
    return GraftError(
        f"{skills} skills were named for a batch of {rows} rows",
        hint="name one for each row (None: the base), or one for all of them",
    )


def _plain(chosen: Chosen) -> _Chosen:
    """Names as text."""
    if chosen is None or isinstance(chosen, str | SkillName):
        return None if chosen is None else str(chosen)
    if not isinstance(chosen, Iterable):
        raise UsageError(
            f"{chosen!r} is no skill: expected a name, a list of names (None: the base), or None",
            hint='`model.use_skill("acme/math")`',
        )
    return [None if one is None else str(one) for one in chosen]


class SkillContext:
    """The context manager of `use_skill`: the choice holds in this thread or task."""

    def __init__(self, switch: Switch, chosen: Chosen) -> None:
        self._switch = switch
        self._chosen = _plain(chosen)
        self._tokens: list[Token[Selection | None]] = []
        if self._chosen == []:
            raise UsageError("an empty list names no skill", hint="`None` is the base")
        for skill in self._chosen if isinstance(self._chosen, list) else (self._chosen,):
            if skill is not None:
                switch.shelf.known(skill)

    def __enter__(self) -> Self:
        self._tokens.append(self._switch.active.set(self._switch.select(self._chosen)))
        return self

    def __exit__(self, *_: object) -> None:
        self._switch.active.reset(self._tokens.pop())

    def bind(self, function: Callable[..., _Returned]) -> Callable[..., _Returned]:
        """A function that has the same choice active in whatever thread calls it."""

        @functools.wraps(function)
        def bound(*args: Any, **kwargs: Any) -> _Returned:
            with SkillContext(self._switch, self._chosen):
                return function(*args, **kwargs)

        return bound


class LiveModel(nn.Module):
    """What a live model has beside what transformers gave it."""

    _switch: Switch

    def use_skill(self, chosen: Chosen) -> SkillContext:
        """A context manager in which a skill is active: one name, or one for each row of a batch.

        `None` is the base. Costs microseconds for a skill that is ready. The choice holds in this
        thread or task. Raises `UnknownSkillError` for a skill that is not installed, `GraftError`
        for one that cannot run live, `UsageError` for an empty list.
        """
        return SkillContext(self._switch, chosen)

    def skill(self, chosen: Chosen) -> SkillContext:
        """Deprecated: the name of `use_skill` in version 0.1."""
        warnings.warn("`model.skill` is now `model.use_skill`", DeprecationWarning, stacklevel=2)
        return self.use_skill(chosen)

    @property
    def skills(self) -> tuple[str, ...]:
        """The skills that can be switched to."""
        stacks = self._switch.shelf.stacks
        return tuple(skill for skill, stack in stacks.items() if stack.refusal is None)

    @property
    def refused(self) -> dict[str, str]:
        """The installed skills that cannot run live, and why."""
        stacks = self._switch.shelf.stacks
        return {skill: s.refusal for skill, s in stacks.items() if s.refusal is not None}

    @property
    def active(self) -> str | list[str | None] | None:
        """What is switched to here and now; None: the base."""
        selection = self._switch.active.get()
        return None if selection is None else selection.chosen

    def warm(self, *skills: str) -> tuple[str, ...]:
        """Make skills ready ahead (all, without names), and return all that are ready then."""
        for skill in skills or self.skills:
            self._switch.shelf.get(skill)
        return self._switch.shelf.warm

    def skill_bytes(self) -> dict[str, tuple[int, int]]:
        """Of each skill, the bytes of its payload on disk, and those that it takes in memory now.

        The first is what it costs to be attached; the second is there while it is ready.
        """
        shelf = self._switch.shelf
        return {
            one: (shelf.stacks[one].payload_bytes, shelf.ready_bytes(one)) for one in self.skills
        }

    def skill_forms(self, skill: str) -> dict[str, str]:
        """How each tensor of a skill runs: `factors`, `sparse`, `rows` or `dense`."""
        return dict(self._switch.shelf.get(skill).forms)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's own
        """Another device or dtype: what was ready is made anew."""
        self._switch.shelf.forget()
        moved: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved

    def __deepcopy__(self, _memo: object) -> Self:
        raise GraftError(
            "a live model cannot be copied",
            hint="`project.load_model()` gives another; its weights are memory-mapped",
        )


class GeneratingLiveModel(LiveModel):
    """A live model that generates."""

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """As transformers has it; each beam and sample of a prompt has the prompt's skill."""
        with self._switch.generating(args, kwargs):
            return super().generate(*args, **kwargs)  # type: ignore[misc]


def attach(model: Any, stacks: Mapping[str, SkillLayers], places: ParameterMap, limit: int) -> Any:
    """Put skills beside a model, nothing merged; it stays an instance of its own class."""
    kind = type(model)
    extra = GeneratingLiveModel if hasattr(kind, "generate") else LiveModel
    named = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
    }
    model.__class__ = type(kind.__name__, (extra, kind), named)
    touched = {
        place.path
        for stack in stacks.values()
        if stack.refusal is None
        for where in places.of(stack.entries).values()
        for place in where
    }
    active: ContextVar[Selection | None] = ContextVar("skill", default=None)
    check = Bypassed(model, active, touched).check
    switch = Switch(SkillCache(stacks, places, limit, check), active)
    object.__setattr__(model, "_switch", switch)
    for path in touched:
        module = model.get_submodule(path)
        module.forward = ForwardHook(module, path, switch.active)
    model.register_forward_pre_hook(switch, with_kwargs=True)
    return model
