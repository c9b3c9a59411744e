"""The live model: the model class of transformers, with skills that can be switched to."""

import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, Self, TypeVar

import torch
from torch import nn

from skillpm.errors import GraftError, UsageError
from skillpm.live.batch_layout import BatchLayout
from skillpm.live.bypassed_modules import BypassedModules
from skillpm.live.forward_hook import ForwardHook
from skillpm.live.parameter_map import ParameterMap
from skillpm.live.selection import MixedSkills, Selection, SingleSkill, groups_of
from skillpm.live.skill_cache import SkillCache
from skillpm.live.skill_layers import SkillLayers
from skillpm.spec.names import SkillName
from skillpm.spec.words import counted

Named = str | SkillName | None
"""A skill by its name; None is the base."""
Chosen = Named | Sequence[Named]
_Chosen = str | list[str | None] | None
_Returned = TypeVar("_Returned")
_INPUTS = ("input_ids", "inputs_embeds", "inputs", "pixel_values", "input_features")


class Switch:
    """The skills attached to one model, and the choice that is active in this thread or task."""

    def __init__(self, cache: SkillCache, active: ContextVar[Selection | None]) -> None:
        self.cache = cache
        self.active = active
        self.batch_layout = BatchLayout(cache.parameters.model, self.active)
        self.generates: ContextVar[bool] = ContextVar("generates", default=False)

    def select(self, chosen: _Chosen) -> Selection | None:
        """Return the selection for this choice; prepares skills that are not ready."""
        if chosen is None:
            return None
        if isinstance(chosen, str):
            return SingleSkill(self.cache.get(chosen))
        groups = tuple(groups_of(chosen, self.cache.get))
        skills = [group.prepared for group in groups if group.prepared is not None]
        layouts = self.batch_layout.layouts(skills) if len(groups) > 1 else {}
        return MixedSkills(len(chosen), groups, layouts)

    def check_rows(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise `GraftError` if a list of skills does not fit the rows of the model's call.

        Records the rows and tokens of the batch in the selection.
        """
        selection = self.active.get()
        if not isinstance(selection, MixedSkills):
            return
        rows, tokens = _shape_of(args, kwargs)
        multiple = self.generates.get() and rows and not rows % selection.batch
        if rows is not None and rows != selection.batch and not multiple:
            raise _wrong_row_count(selection.batch, rows)
        selection.width = rows or selection.batch
        selection.tokens = None if self.cache.parameters.model.config.is_encoder_decoder else tokens

    def __call__(self, _model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Check the rows; registered as a hook before the model's forward."""
        self.check_rows(args, kwargs)

    @contextmanager
    def generating(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[None]:
        """While the block runs, a row may become several rows: beams, or samples of one prompt."""
        self.check_rows(args, kwargs)
        token = self.generates.set(True)
        try:
            yield
        finally:
            self.generates.reset(token)


def _shape_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the rows of a batch and the tokens of each; None if the arguments do not show them."""
    values = [*args[:1], *(kwargs.get(name) for name in _INPUTS)]
    for value in values:
        if torch.is_tensor(value) and value.dim():
            return value.shape[0], value.shape[1] if value.dim() > 1 else None
    return None, None


def _wrong_row_count(skills: int, rows: int) -> GraftError:
    return GraftError(
        f"a list of {counted(skills, 'skill')} does not fit a batch of {counted(rows, 'row')}",
        hint="pass one name per row (None: the base), or one name for all rows",
    )


def _names_of(chosen: Chosen) -> _Chosen:
    """Convert names to text."""
    if chosen is None or isinstance(chosen, str | SkillName):
        return None if chosen is None else str(chosen)
    if not isinstance(chosen, Iterable):
        raise UsageError(
            f"{chosen!r} is not a skill: expected a name, a list of names, or None (the base)",
            hint='`model.use_skill("acme/math")`',
        )
    return [None if name is None else str(name) for name in chosen]


class SkillContext:
    """The context manager of `use_skill`: the choice is active in this thread or task."""

    def __init__(self, switch: Switch, chosen: Chosen) -> None:
        self._switch = switch
        self._chosen = _names_of(chosen)
        self._tokens: list[Token[Selection | None]] = []
        if self._chosen == []:
            raise UsageError("the list of skills is empty", hint="`None` is the base")
        for skill in self._chosen if isinstance(self._chosen, list) else (self._chosen,):
            if skill is not None:
                switch.cache.find(skill)

    def __enter__(self) -> Self:
        self._tokens.append(self._switch.active.set(self._switch.select(self._chosen)))
        return self

    def __exit__(self, *_: object) -> None:
        self._switch.active.reset(self._tokens.pop())

    def bind(self, function: Callable[..., _Returned]) -> Callable[..., _Returned]:
        """Return a function that runs with the same choice active, in any thread that calls it."""

        @functools.wraps(function)
        def bound(*args: Any, **kwargs: Any) -> _Returned:
            with SkillContext(self._switch, self._chosen):
                return function(*args, **kwargs)

        return bound


class LiveModel(nn.Module):
    """The methods that a live model has in addition to those of its transformers class."""

    _switch: Switch

    def use_skill(self, chosen: Chosen) -> SkillContext:
        """Return a context manager in which a skill is active.

        `chosen` is one name, or a list with one name per row of a batch; None is the base. The
        choice is active in this thread or task. Entering costs microseconds if the skill is ready;
        otherwise the skill is prepared first. Raises `UnknownSkillError` for a skill that is not
        installed, `GraftError` for one that cannot run live, `UsageError` for an empty list.
        """
        return SkillContext(self._switch, chosen)

    def skill(self, chosen: Chosen) -> SkillContext:
        """Deprecated: the name of `use_skill` in version 0.1."""
        warnings.warn("`model.skill` is now `model.use_skill`", DeprecationWarning, stacklevel=2)
        return self.use_skill(chosen)

    @property
    def skills(self) -> tuple[str, ...]:
        """The skills that can be switched to."""
        layers = self._switch.cache.layers
        return tuple(
            skill for skill, skill_layers in layers.items() if skill_layers.refusal is None
        )

    @property
    def refused(self) -> dict[str, str]:
        """The installed skills that cannot run live, each with the reason."""
        layers = self._switch.cache.layers
        return {
            skill: skill_layers.refusal
            for skill, skill_layers in layers.items()
            if skill_layers.refusal is not None
        }

    @property
    def notes(self) -> dict[str, str]:
        """The files that skills have and a live model ignores, as text, by skill."""
        layers = self._switch.cache.layers
        return {
            skill: skill_layers.note
            for skill, skill_layers in layers.items()
            if skill_layers.refusal is None and skill_layers.note is not None
        }

    @property
    def active(self) -> str | list[str | None] | None:
        """The active choice in this thread or task; None is the base."""
        selection = self._switch.active.get()
        return None if selection is None else selection.chosen

    def warm(self, *skills: str) -> tuple[str, ...]:
        """Prepare skills ahead of use, by default all; return the names of all that are ready."""
        for skill in skills or self.skills:
            self._switch.cache.get(skill)
        return self._switch.cache.warm

    def skill_bytes(self) -> dict[str, tuple[int, int]]:
        """Return for each skill the bytes of its payload on disk, and its bytes in memory now.

        Memory is taken only while a skill is ready.
        """
        cache = self._switch.cache
        return {
            skill: (cache.layers[skill].payload_bytes, cache.ready_bytes(skill))
            for skill in self.skills
        }

    def skill_forms(self, skill: str) -> dict[str, str]:
        """Return the form of each tensor of a skill: `factors`, `sparse`, `rows` or `dense`."""
        return dict(self._switch.cache.get(skill).forms)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's own
        """Move to another device or dtype; discards all prepared skills."""
        self._switch.cache.forget()
        moved: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved

    def __deepcopy__(self, _memo: object) -> Self:
        raise GraftError(
            "a live model cannot be copied",
            hint="call `project.load_model()` again: its weights are memory-mapped",
        )


class GeneratingLiveModel(LiveModel):
    """A live model whose class has `generate`."""

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Generate as transformers does; beams and samples of a prompt use the prompt's skill."""
        with self._switch.generating(args, kwargs):
            return super().generate(*args, **kwargs)  # type: ignore[misc]


def attach(
    model: Any, layers: Mapping[str, SkillLayers], parameters: ParameterMap, limit: int
) -> Any:
    """Attach skills to a model without merging; it remains an instance of its class.

    `limit` is the bytes that prepared skills may take. Returns the model.
    """
    kind = type(model)
    extra = GeneratingLiveModel if hasattr(kind, "generate") else LiveModel
    attributes = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
    }
    model.__class__ = type(kind.__name__, (extra, kind), attributes)
    paths = {
        place.path
        for skill_layers in layers.values()
        if skill_layers.refusal is None
        for places in parameters.places_of(skill_layers.entries).values()
        for place in places
    }
    active: ContextVar[Selection | None] = ContextVar("skill", default=None)
    check_called = BypassedModules(model, active, paths).check
    switch = Switch(SkillCache(layers, parameters, limit, check_called), active)
    object.__setattr__(model, "_switch", switch)
    for path in paths:
        module = model.get_submodule(path)
        module.forward = ForwardHook(module, path, switch.active)
    model.register_forward_pre_hook(switch, with_kwargs=True)
    return model
