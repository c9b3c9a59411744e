"""Records the inputs of the base's modules during a trial run."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch

from skillpm.live.patches import Forward
from skillpm.live.selection import Selection


@dataclass
class _InputRecorder:
    """A selection that changes nothing and records the first tensor of each module's input."""

    chosen: str = ""
    inputs: dict[str, list[torch.Tensor]] = field(default_factory=dict)

    def run(
        self, path: str, original: Forward, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Return the module's own output."""
        values = (value for value in (*args, *kwargs.values()) if torch.is_tensor(value))
        self.inputs.setdefault(path, []).append(next(values, torch.empty(0)).detach().clone())
        return original(*args, **kwargs)


def takes_ids(model: Any) -> bool:
    """Whether a model reads token ids, so that it can run without data."""
    return getattr(model, "main_input_name", None) == "input_ids"


def run_on_ids(model: Any, ids: torch.Tensor) -> Any:
    """Run a model on token ids [rows, tokens] alone, for encoder and decoder if it has both."""
    decoder_inputs = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    return model(input_ids=ids, **decoder_inputs)


@torch.no_grad()
def record_inputs(
    model: Any, active: ContextVar[Selection | None], ids: torch.Tensor
) -> dict[str, list[torch.Tensor]]:
    """Run the base on ids [rows, tokens] and return the inputs of each hooked module."""
    recorder = _InputRecorder()
    token = active.set(recorder)
    try:
        run_on_ids(model, ids)
    finally:
        active.reset(token)
    return recorder.inputs
