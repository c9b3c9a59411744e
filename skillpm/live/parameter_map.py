"""Maps a checkpoint's tensors to the modules of a running model that hold them.

A tied tensor is in several places. A tensor that a set adds, removes or reshapes has no place,
except a separate head if the base ties head and embedding.
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
    """A parameter or buffer of one module: the module's path, and the attribute's name."""

    path: str
    attribute: str

    @property
    def name(self) -> str:
        """The name in the model's `state_dict`."""
        return f"{self.path}.{self.attribute}" if self.path else self.attribute


class ParameterMap:
    """The places of every tensor of a base in a running model."""

    def __init__(self, model: Any, specs: Mapping[str, TensorSpec]) -> None:
        self.model = model
        self._tensors = dict(_tensors(model))
        named = checkpoint_names((place.name for place in self._tensors), specs)
        self._places: dict[str, list[ModuleTensor]] = {}
        for place, value in self._tensors.items():
            tensor = named.get(place.name)
            if tensor is not None and value.shape == specs[tensor].shape:
                tied = [tied_place for tied_place, other in self._tensors.items() if other is value]
                self._places.setdefault(tensor, tied)

    def value(self, place: ModuleTensor) -> torch.Tensor:
        """Return the base's tensor at a place."""
        tensor: torch.Tensor = getattr(self.module(place), place.attribute)
        return tensor

    def module(self, place: ModuleTensor) -> nn.Module:
        """Return the module of a place."""
        module: nn.Module = self.model.get_submodule(place.path)
        return module

    @cached_property
    def _ignored(self) -> list[re.Pattern[str]]:
        """Patterns of tensors that transformers does not load from a checkpoint."""
        patterns = getattr(self.model, "_keys_to_ignore_on_load_unexpected", None) or ()
        return [re.compile(pattern) for pattern in patterns]

    def places_of(
        self, entries: Mapping[str, FootprintEntry]
    ) -> dict[str, tuple[ModuleTensor, ...]]:
        """Return the places of each tensor that a set changes.

        Raises `GraftError` for the first tensor that cannot run beside the base's.
        """
        separate_places: dict[str, tuple[ModuleTensor, ...]] = {}
        changed_places: dict[str, tuple[ModuleTensor, ...]] = {}
        for tensor, entry in entries.items():
            if entry.change == "changed":
                changed_places[tensor] = self._changed(tensor)
            elif entry.change == "removed" and tensor not in self._places:
                separate_places[tensor] = ()  # an old buffer, which the model now computes
            else:
                separate_places[tensor] = self._added(entry)
        assigned = {place for places in separate_places.values() for place in places}
        remaining = {
            name: tuple(place for place in places if place not in assigned)
            for name, places in changed_places.items()
        }
        return {**remaining, **separate_places}

    def _changed(self, tensor: str) -> tuple[ModuleTensor, ...]:
        places = self._places.get(tensor, [])
        ignored = any(pattern.search(tensor) for pattern in self._ignored)
        if not places and not ignored and tensor not in dict(self.model.named_buffers()):
            raise GraftError(
                f"`{tensor}` is not a parameter of the running model, so it cannot be changed live"
            )
        return tuple(places)

    def _added(self, entry: FootprintEntry) -> tuple[ModuleTensor, ...]:
        """Return the place of a separate head that the base ties; no other tensor may be added."""
        for place, value in self._tensors.items():
            tied = sum(other is value for other in self._tensors.values()) > 1
            fits = place.name == entry.tensor and value.shape == entry.shape
            if entry.change == "added" and fits and tied:
                return (place,)
        raise GraftError(
            f"`{entry.tensor}` is {entry.change}: a live skill can only change tensors of the "
            "base, in their shape"
        )


def _tensors(model: nn.Module) -> Iterator[tuple[ModuleTensor, torch.Tensor]]:
    """Yield every parameter and persistent buffer, once for each module that holds it."""
    for path, module in model.named_modules(remove_duplicate=False):
        for name, value in module.named_parameters(recurse=False, remove_duplicate=False):
            yield ModuleTensor(path, name), value
        transient = module._non_persistent_buffers_set  # noqa: SLF001 - torch has no other way
        for name, value in module.named_buffers(recurse=False, remove_duplicate=False):
            if name not in transient:
                yield ModuleTensor(path, name), value
