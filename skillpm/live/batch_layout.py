"""Finds the modules in which the rows of a batch stay in order, so that each can have its skill.

Shapes cannot show this: a dispatched expert may get as many rows as a batch has, and a table of
relative positions is square. Instead the base runs three times over a small batch, twice with one
row exchanged. In a module that keeps the order, only the entries of that row change.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import torch

from skillpm.errors import GraftError
from skillpm.live.prepare import PreparedSkill
from skillpm.live.selection import Selection
from skillpm.live.trial_run import record_inputs, takes_ids
from skillpm.running.folder import UNRUNNABLE

ROWS, TOKENS = 5, 7
"""The size of the trial batch: two primes, so that neither is mistaken for the other or for
heads."""
_EXCHANGED = (1, 3)
"""The rows that are exchanged."""
_NOISE = 0.05
"""Changes below this share of the largest change are rounding differences between kernels."""
_DISPATCHED = "experts"
"""A part of the names of modules that get tokens out of order."""
_HINT = "one skill for all rows: `with model.use_skill(NAME):`"

Layouts = Mapping[str, bool]
"""The modules that keep order; true if each token is an entry [rows · tokens, …], else [rows,
…]."""


class BatchLayout:
    """The modules of one model that keep the rows of a batch in order.

    They are found once, when the first batch of several skills comes.
    """

    def __init__(self, model: Any, active: ContextVar[Selection | None]) -> None:
        self._model = model
        self._active = active
        self._lock = threading.Lock()
        self._layouts: Layouts | None = None

    def layouts(self, skills: Iterable[PreparedSkill]) -> Layouts:
        """Return the modules that keep order.

        Raises `GraftError` if a skill changes any other module.
        """
        with self._lock:
            if self._layouts is None:
                self._layouts = self._find()
        for prepared in skills:
            if not prepared.patches.keys() <= self._layouts.keys():
                unordered = sorted(prepared.patches.keys() - self._layouts.keys())
                raise GraftError(
                    f"`{prepared.skill}` changes `{unordered[0]}`, a module that does not keep the "
                    "rows of a batch in order, so it cannot share a batch with other skills",
                    hint=_HINT,
                )
        return self._layouts

    def _find(self) -> Layouts:
        """Return the modules that keep order, by three runs of the base."""
        config = self._model.config
        if not takes_ids(self._model):
            raise GraftError(
                f"a batch of several skills needs a model that reads token ids, but "
                f"`{type(self._model).__name__}` reads `{self._model.main_input_name}`",
                hint=_HINT,
            )
        generator = torch.Generator().manual_seed(0)
        words = config.get_text_config().vocab_size
        ids, others = torch.randint(0, words, (2, ROWS, TOKENS), generator=generator)
        first = self._record(ids)
        runs = []
        for row in _EXCHANGED:
            changed = ids.clone()
            changed[row] = others[row]
            runs.append((row, self._record(changed)))
        layouts = {path: _layout(calls, path, runs) for path, calls in first.items()}
        return {path: entries > 1 for path, entries in layouts.items() if entries}

    def _record(self, ids: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        try:
            return record_inputs(self._model, self._active, ids.to(self._model.device))
        except (*UNRUNNABLE, IndexError) as problem:
            raise GraftError(
                f"`{type(self._model).__name__}` does not run on token ids alone, so its "
                "rows cannot be assigned to several skills",
                hint=_HINT,
            ) from problem


def _layout(
    calls: Sequence[torch.Tensor],
    path: str,
    runs: Sequence[tuple[int, Mapping[str, Sequence[torch.Tensor]]]],
) -> int:
    """Return the entries per row: 1, or the number of tokens; 0 if the rows are not in order."""
    counts = set()
    for row, recorded in runs:
        again = recorded.get(path, ())
        if _DISPATCHED in path.split(".") or len(again) != len(calls):
            return 0
        counts |= {
            _entries(call, repeated, row) for call, repeated in zip(calls, again, strict=True)
        }
    return counts.pop() if len(counts) == 1 else 0


def _entries(before: torch.Tensor, after: torch.Tensor, row: int) -> int:
    """Return the entries per row of a module's input; 0 if entries of other rows differ too."""
    if before.shape != after.shape or not before.numel():
        return 0
    count = len(before)
    differing = _differing(before.reshape(count, -1), after.reshape(count, -1))
    if not differing.any():  # such as positions: shared by all rows, or repeated for each
        return int(count == 1 or before.shape[:2] == (ROWS, TOKENS))
    per_row, rest = divmod(count, ROWS)
    in_row = differing[row * per_row : (row + 1) * per_row]
    return per_row if per_row in (1, TOKENS) and not rest and in_row.sum() == differing.sum() else 0


def _differing(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return which entries differ, [entries]."""
    if not before.is_floating_point():
        return (before != after).any(dim=1)
    change = (before.float() - after.float()).abs().amax(dim=1)
    return change > _NOISE * change.max()
