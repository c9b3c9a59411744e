"""What the modules of the base are called with, seen by one run of it."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch

from skillpm.live.patches import Forward
from skillpm.live.selection import Selection


@dataclass
class _Watch:
    """The base, and what came into each touched module: a selection that changes nothing."""

    chosen: str = ""
    seen: dict[str, list[torch.Tensor]] = field(default_factory=dict)

    def run(
        self, path: str, plain: Forward, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The module's own output."""
        values = (value for value in (*args, *kwargs.values()) if torch.is_tensor(value))
        self.seen.setdefault(path, []).append(next(values, torch.empty(0)).detach().clone())
        return plain(*args, **kwargs)


def takes_ids(model: Any) -> bool:
    """Whether a model reads token ids, so that it can be tried without data."""
    return getattr(model, "main_input_name", None) == "input_ids"


def over(model: Any, ids: torch.Tensor) -> Any:
    """What a model makes of token ids [rows, tokens] alone; on both sides, if it has two."""
    both = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    return model(input_ids=ids, **both)


@torch.no_grad()
def watched(
    model: Any, active: ContextVar[Selection | None], ids: torch.Tensor
) -> dict[str, list[torch.Tensor]]:
    """What each touched module is called with when the base runs over ids [rows, tokens]."""
    watch = _Watch()
    token = active.set(watch)
    try:
        over(model, ids)
    finally:
        active.reset(token)
    return watch.seen
