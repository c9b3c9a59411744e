"""Loads a base through transformers, with tensors mapped from its files and never written."""

from pathlib import Path
from typing import Any

import transformers
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from skillpm.errors import GraftError, capped
from skillpm.running.folder import (
    UNRUNNABLE,
    checked_config,
    is_causal,
    load_weights,
    move_to_device,
    not_runnable,
    refuse_adapter,
)

_SHOWN = 100
"""Characters of a class name that an error shows."""


def load_base(folder: Path, device: str, dtype: str) -> Any:
    """Load the model in a folder by the class that its config names, in evaluation mode.

    On a CPU and in their stored dtype, tensors are views of the mapped files: they take no further
    memory, and a write would change a private copy of the page (law 1). No code of the folder runs,
    and no pickle is read. Raises `GraftError` if transformers cannot load the model, or if the
    device does not exist.
    """
    refuse_adapter(folder)
    try:
        config = checked_config(folder)
        model = load_weights(_class_of(config), config, folder, dtype)
    except UNRUNNABLE as problem:
        hint = "a live model needs a `config.json` beside the weights"
        raise not_runnable(folder, problem, hint) from problem
    return move_to_device(model.eval().requires_grad_(False), device)


def check_generates(folder: Path) -> None:
    """Raise `GraftError` if the class of a model generates no text, as an encoder's.

    Reads the config only, so that the error comes before the weights are read.
    """
    refuse_adapter(folder)
    try:
        config = checked_config(folder)
        kind = _class_of(config)
    except UNRUNNABLE as problem:
        hint = "a model that answers needs a `config.json` beside the weights"
        raise not_runnable(folder, problem, hint) from problem
    if kind is not AutoModelForCausalLM and not (kind is not AutoModel and kind.can_generate()):
        names = ", ".join(config.architectures or [config.model_type])
        raise GraftError(
            f"`{folder}` is a model of the class `{capped(names, _SHOWN)}`, which generates no "
            "text; expected a causal language model, or an encoder-decoder",
            hint='`skillpm route "what is 2 + 2?"` chooses a skill for a text',
        )


def _class_of(config: Any) -> Any:
    """Return the model class that a config names, if transformers has it, else an auto class."""
    for name in config.architectures or []:
        kind = getattr(transformers, name, None)
        if isinstance(kind, type) and issubclass(kind, PreTrainedModel):
            return kind
    return AutoModelForCausalLM if is_causal(config) else AutoModel


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a model folder. Raises `GraftError` if there is none."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as problem:
        raise GraftError(f"`{folder}` has no tokenizer that transformers can load") from problem
