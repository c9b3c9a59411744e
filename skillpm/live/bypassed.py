"""Modules whose weight a model reads past the module's own forward, where no skill can stand.

A DeBERTa layer takes `rel_embeddings.weight` as a table. Such a weight is told by trying: the
module is not called by a small batch, and yet the output has a gradient to its parameters.
"""

import threading
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import torch

from skillpm.errors import GraftError
from skillpm.live.making import Ready
from skillpm.live.selection import Selection
from skillpm.live.watch import over, takes_ids, watched
from skillpm.running.folder import UNRUNNABLE

TOKENS = 7


class Bypassed:
    """The touched modules of one model that are read and not called; tried once."""

    def __init__(
        self, model: Any, active: ContextVar[Selection | None], touched: Iterable[str]
    ) -> None:
        self._model = model
        self._active = active
        self._touched = frozenset(touched)
        self._lock = threading.Lock()
        self._found: frozenset[str] | None = None

    def check(self, ready: Ready) -> None:
        """Raise `GraftError` for a skill that would change nothing where it should."""
        with self._lock:
            if self._found is None:
                self._found = self._try()
        lost = sorted(self._found & ready.patches.keys())
        if lost:
            raise GraftError(
                f"`{ready.skill}` cannot run live: the model reads the weight of `{lost[0]}` past "
                "that module, where a skill could not be put beside it",
                hint=f"`skillpm graft --only {ready.skill}` writes it as a model",
            )

    def _try(self) -> frozenset[str]:
        """A model that does not run on token ids alone is taken as it is."""
        model = self._model
        if not takes_ids(model):
            return frozenset()
        words = model.config.get_text_config().vocab_size
        ids = torch.arange(1, TOKENS + 1, device=model.device)[None] % words
        token = self._active.set(None)
        try:
            left = sorted(self._touched - watched(model, self._active, ids).keys())
            return frozenset(_read(model, ids, left))
        except (*UNRUNNABLE, IndexError):
            return frozenset()
        finally:
            self._active.reset(token)


def _read(model: Any, ids: torch.Tensor, paths: list[str]) -> list[str]:
    """Those modules to whose own parameters the output has a gradient."""
    owned = {path: list(model.get_submodule(path).parameters(recurse=False)) for path in paths}
    asked = [weight for weights in owned.values() for weight in weights]
    if not asked:
        return []
    with torch.inference_mode(mode=False), torch.enable_grad():
        for weight in asked:
            weight.requires_grad_(requires_grad=True)
        try:
            shown = next(one for one in over(model, ids).values() if torch.is_tensor(one))
            slopes = _slopes(shown, asked)
        finally:
            for weight in asked:
                weight.requires_grad_(requires_grad=False)
    reached = {id(one) for one, slope in zip(asked, slopes, strict=True) if slope is not None}
    return [path for path, weights in owned.items() if any(id(one) in reached for one in weights)]


def _slopes(shown: torch.Tensor, asked: list[torch.Tensor]) -> tuple[torch.Tensor | None, ...]:
    if not shown.requires_grad:
        return (None,) * len(asked)
    return torch.autograd.grad(shown.float().sum(), asked, allow_unused=True)
