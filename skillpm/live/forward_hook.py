"""The replacement for the forward of a module that a skill may change."""

from contextvars import ContextVar
from functools import update_wrapper
from typing import Any

import torch
from torch import nn

from skillpm.live.selection import Selection

Active = ContextVar[Selection | None]


class ForwardHook:
    """A module's forward: its own if no skill is active, else the selection's.

    It is stored as an attribute of the module, so class, parameters and `state_dict` do not change.
    `torch.compile` leaves it out of its graphs, because the active choice is known only at run
    time.
    """

    def __init__(self, module: nn.Module, path: str, active: Active) -> None:
        self._module = module
        self._path = path
        self._active = active
        update_wrapper(self, self._original)

    @property
    def _original(self) -> Any:
        return type(self._module).forward.__get__(self._module)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the module's output."""
        selection = self._active.get()
        if selection is None:
            return self._original(*args, **kwargs)
        return selection.run(self._path, self._original, args, kwargs)
