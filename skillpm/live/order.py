"""In which modules the rows of a batch lie in order, so that each can have its own skill.

Found by trying, for no shape tells it: a dispatched expert may get as many rows as a batch has, and
a table of relative positions is square. The base runs three times over a small batch, twice with
one row exchanged; in a module that keeps the order, what that row brought in moves, nothing else.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import torch

from skillpm.errors import GraftError
from skillpm.live.making import Ready
from skillpm.live.selection import Selection
from skillpm.live.watch import takes_ids, watched
from skillpm.running.folder import UNRUNNABLE

ROWS, TOKENS = 5, 7
"""Of the batch that is tried: two primes, so that neither is taken for the other or for heads."""
_EXCHANGED = (1, 3)
_NOISE = 0.05
"""Of the largest change: below it is rounding, where other rows chose other kernels."""
_DISPATCHED = "experts"
_HINT = "one skill for all rows: `with model.use_skill(NAME):`"

Layouts = Mapping[str, bool]
"""Modules in order; true where each token is an entry [rows · tokens, …], else [rows, …]."""


class BatchLayout:
    """What the batches of one model keep in order; tried once, when the first mixed one comes."""

    def __init__(self, model: Any, active: ContextVar[Selection | None]) -> None:
        self._model = model
        self._active = active
        self._lock = threading.Lock()
        self._found: Layouts | None = None

    def layouts(self, skills: Iterable[Ready]) -> Layouts:
        """The modules in order. Raises `GraftError` where a skill changes any other."""
        with self._lock:
            if self._found is None:
                self._found = self._try()
        for ready in skills:
            if not ready.patches.keys() <= self._found.keys():
                lost = sorted(ready.patches.keys() - self._found.keys())
                raise GraftError(
                    f"`{ready.skill}` changes `{lost[0]}`, where the rows of a batch are not kept "
                    "apart in order: it cannot share a batch with other skills",
                    hint=_HINT,
                )
        return self._found

    def _try(self) -> Layouts:
        config = self._model.config
        if not takes_ids(self._model):
            raise GraftError(
                f"a batch of several skills needs a model of token ids, and "
                f"`{type(self._model).__name__}` reads `{self._model.main_input_name}`",
                hint=_HINT,
            )
        draw = torch.Generator().manual_seed(0)
        words = config.get_text_config().vocab_size
        ids, others = torch.randint(0, words, (2, ROWS, TOKENS), generator=draw)
        first = self._watched(ids)
        runs = []
        for row in _EXCHANGED:
            changed = ids.clone()
            changed[row] = others[row]
            runs.append((row, self._watched(changed)))
        layouts = {path: _layout(calls, path, runs) for path, calls in first.items()}
        return {path: found > 1 for path, found in layouts.items() if found}

    def _watched(self, ids: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        try:
            return watched(self._model, self._active, ids.to(self._model.device))
        except (*UNRUNNABLE, IndexError) as problem:
            raise GraftError(
                f"`{type(self._model).__name__}` does not run on token ids alone, so nobody can "
                "tell whose row is whose in a batch of several skills",
                hint=_HINT,
            ) from problem


def _layout(
    calls: Sequence[torch.Tensor],
    path: str,
    runs: Sequence[tuple[int, Mapping[str, Sequence[torch.Tensor]]]],
) -> int:
    """The entries of one row: 1, or one for each token; 0 where they are not in order."""
    found = set()
    for row, seen in runs:
        again = seen.get(path, ())
        if _DISPATCHED in path.split(".") or len(again) != len(calls):
            return 0
        found |= {_entries(one, other, row) for one, other in zip(calls, again, strict=True)}
    return found.pop() if len(found) == 1 else 0


def _entries(one: torch.Tensor, other: torch.Tensor, row: int) -> int:
    """The entries of a row in what a module was called with, if only those of `row` differ."""
    if one.shape != other.shape or not one.numel():
        return 0
    count = len(one)
    moved = _moved(one.reshape(count, -1), other.reshape(count, -1))
    if not moved.any():  # positions, say: the same for all rows, or for each again
        return int(count == 1 or one.shape[:2] == (ROWS, TOKENS))
    each, rest = divmod(count, ROWS)
    own = moved[row * each : (row + 1) * each]
    return each if each in (1, TOKENS) and not rest and own.sum() == moved.sum() else 0


def _moved(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Which entries differ, [entries]."""
    if not one.is_floating_point():
        return (one != other).any(dim=1)
    change = (one.float() - other.float()).abs().amax(dim=1)
    return change > _NOISE * change.max()
