"""A base as transformers loads it, its tensors mapped from their files and never written."""

from pathlib import Path
from typing import Any

import transformers
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from skillpm.errors import GraftError
from skillpm.running.folder import (
    UNRUNNABLE,
    checked_config,
    is_causal,
    load_weights,
    move_to_device,
    not_runnable,
    refuse_adapter,
)


def load_base(folder: Path, device: str, dtype: str) -> Any:
    """The model in a folder, by the class that its config names, in evaluation mode.

    On a CPU, in its stored dtype, its tensors are views of the mapped files: they cost no memory of
    their own, and a write would go to a private copy of the page (law 1). No code of the folder
    runs, and no pickle is read. Raises `GraftError` where transformers cannot load it, or
    the device is not there.
    """
    refuse_adapter(folder)
    try:
        config = checked_config(folder)
        model = load_weights(_class_of(config), config, folder, dtype)
    except UNRUNNABLE as problem:
        hint = "a live model needs a `config.json` beside the weights"
        raise not_runnable(folder, problem, hint) from problem
    return move_to_device(model.eval().requires_grad_(False), device)


def _class_of(config: Any) -> Any:
    """The model class that a config names, where transformers has it."""
    for name in config.architectures or []:
        kind = getattr(transformers, name, None)
        if isinstance(kind, type) and issubclass(kind, PreTrainedModel):
            return kind
    return AutoModelForCausalLM if is_causal(config) else AutoModel


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a model's folder. Raises `GraftError` where there is none."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as problem:
        raise GraftError(f"`{folder}` has no tokenizer that transformers can load") from problem
