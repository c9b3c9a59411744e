"""Finds modules whose weight the model reads without calling the module: skills cannot run there.

A DeBERTa layer, for example, uses `rel_embeddings.weight` as a table. Such a module is found by a
trial run over a small batch: the module is not called, but the output has a gradient with respect
to its parameters.
"""

import threading
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import torch

from skillpm.errors import GraftError
from skillpm.live.prepare import PreparedSkill
from skillpm.live.selection import Selection
from skillpm.live.trial_run import record_inputs, run_on_ids, takes_ids
from skillpm.running.folder import UNRUNNABLE

TOKENS = 7
"""Tokens of the trial batch."""


class BypassedModules:
    """The modules of one model, among those that skills change, that are read but not called.

    They are found once, by the first check.
    """

    def __init__(
        self, model: Any, active: ContextVar[Selection | None], paths: Iterable[str]
    ) -> None:
        self._model = model
        self._active = active
        self._paths = frozenset(paths)
        self._lock = threading.Lock()
        self._bypassed: frozenset[str] | None = None

    def check(self, prepared: PreparedSkill) -> None:
        """Raise `GraftError` if a skill changes a module that is never called."""
        with self._lock:
            if self._bypassed is None:
                self._bypassed = self._find()
        blocked = sorted(self._bypassed & prepared.patches.keys())
        if blocked:
            skill = prepared.skill
            raise GraftError(
                f"`{skill}` cannot run live: the model reads the weight of `{blocked[0]}` "
                "without calling that module",
                hint=f"`skillpm graft --only {skill}` writes a model folder with the skill",
            )

    def _find(self) -> frozenset[str]:
        """Return the modules found; none for a model that does not run on token ids alone."""
        model = self._model
        if not takes_ids(model):
            return frozenset()
        words = model.config.get_text_config().vocab_size
        ids = torch.arange(1, TOKENS + 1, device=model.device)[None] % words
        token = self._active.set(None)
        try:
            uncalled = sorted(self._paths - record_inputs(model, self._active, ids).keys())
            return frozenset(_modules_in_use(model, ids, uncalled))
        except (*UNRUNNABLE, IndexError):
            return frozenset()
        finally:
            self._active.reset(token)


def _modules_in_use(model: Any, ids: torch.Tensor, paths: list[str]) -> list[str]:
    """Return the modules with respect to whose own parameters the output has a gradient."""
    parameters_of = {
        path: list(model.get_submodule(path).parameters(recurse=False)) for path in paths
    }
    parameters = [parameter for weights in parameters_of.values() for parameter in weights]
    if not parameters:
        return []
    with torch.inference_mode(mode=False), torch.enable_grad():
        for parameter in parameters:
            parameter.requires_grad_(requires_grad=True)
        try:
            output = next(
                value for value in run_on_ids(model, ids).values() if torch.is_tensor(value)
            )
            gradients = _gradients(output, parameters)
        finally:
            for parameter in parameters:
                parameter.requires_grad_(requires_grad=False)
    used = {
        id(parameter)
        for parameter, gradient in zip(parameters, gradients, strict=True)
        if gradient is not None
    }
    return [
        path
        for path, weights in parameters_of.items()
        if any(id(parameter) in used for parameter in weights)
    ]


def _gradients(
    output: torch.Tensor, parameters: list[torch.Tensor]
) -> tuple[torch.Tensor | None, ...]:
    """Return the gradient of the summed output for each parameter; None if there is none."""
    if not output.requires_grad:
        return (None,) * len(parameters)
    return torch.autograd.grad(output.float().sum(), parameters, allow_unused=True)
