"""Where a checkpoint's tensors are in a running model: the modules that hold each.

A tied tensor has several places. What a set adds, removes or reshapes has none, but for a head of
its own where the base ties head and embedding.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from skillpm.errors import GraftError
from skillpm.running.runner import checkpoint_names
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.manifest import FootprintEntry


@dataclass(frozen=True, order=True)
class ModuleTensor:
    """A parameter or buffer of one module: the module's path, and its name there."""

    path: str
    attribute: str

    @property
    def name(self) -> str:
        """As `state_dict` has it."""
        return f"{self.path}.{self.attribute}" if self.path else self.attribute


class ParameterMap:
    """The places of every tensor that a base has."""

    def __init__(self, model: Any, specs: Mapping[str, TensorSpec]) -> None:
        self.model = model
        self._specs = specs
        self._held = dict(_held(model))
        named = checkpoint_names((place.name for place in self._held), specs)
        self._of: dict[str, list[ModuleTensor]] = {}
        for place, value in self._held.items():
            tensor = named.get(place.name)
            if tensor is not None and value.shape == specs[tensor].shape:
                tied = [other for other, same in self._held.items() if same is value]
                self._of.setdefault(tensor, tied)

    def value(self, place: ModuleTensor) -> torch.Tensor:
        """The base's own tensor there."""
        found: torch.Tensor = getattr(self.module(place), place.attribute)
        return found

    def module(self, place: ModuleTensor) -> nn.Module:
        """The module of a place."""
        module: nn.Module = self.model.get_submodule(place.path)
        return module

    @cached_property
    def _unread(self) -> list[re.Pattern[str]]:
        """What transformers itself does not load from a checkpoint."""
        patterns = getattr(self.model, "_keys_to_ignore_on_load_unexpected", None) or ()
        return [re.compile(pattern) for pattern in patterns]

    def of(self, entries: Mapping[str, FootprintEntry]) -> dict[str, tuple[ModuleTensor, ...]]:
        """The places of each tensor that a set touches.

        Raises `GraftError` with the first tensor that cannot be put beside the base's.
        """
        own: dict[str, tuple[ModuleTensor, ...]] = {}
        shared: dict[str, tuple[ModuleTensor, ...]] = {}
        for tensor, entry in entries.items():
            if entry.change == "changed":
                shared[tensor] = self._changed(tensor)
            elif entry.change == "removed" and tensor not in self._of:
                own[tensor] = ()  # a buffer of old, which the model makes itself
            else:
                own[tensor] = self._added(entry)
        taken = {place for places in own.values() for place in places}
        left = {t: tuple(p for p in places if p not in taken) for t, places in shared.items()}
        return {**left, **own}

    def _changed(self, tensor: str) -> tuple[ModuleTensor, ...]:
        found = self._of.get(tensor, [])
        ignored = any(pattern.search(tensor) for pattern in self._unread)
        if not found and not ignored and tensor not in dict(self.model.named_buffers()):
            raise GraftError(
                f"`{tensor}` is not a parameter of the running model, so it cannot be changed live"
            )
        return tuple(found)

    def _added(self, entry: FootprintEntry) -> tuple[ModuleTensor, ...]:
        """A head of its own where the base ties it: the one thing that may be added."""
        for place, value in self._held.items():
            tied = sum(other is value for other in self._held.values()) > 1
            fits = place.name == entry.tensor and value.shape == entry.shape
            if entry.change == "added" and fits and tied:
                return (place,)
        raise GraftError(
            f"`{entry.tensor}` is {entry.change}: live, a skill changes only tensors that the "
            "base has, at their shape"
        )


def _held(model: nn.Module) -> Iterator[tuple[ModuleTensor, torch.Tensor]]:
    """Every parameter and persistent buffer, as often as a module holds it."""
    for path, module in model.named_modules(remove_duplicate=False):
        for name, value in module.named_parameters(recurse=False, remove_duplicate=False):
            yield ModuleTensor(path, name), value
        fleeting = module._non_persistent_buffers_set  # noqa: SLF001 - torch has no other way
        for name, value in module.named_buffers(recurse=False, remove_duplicate=False):
            if name not in fleeting:
                yield ModuleTensor(path, name), value
