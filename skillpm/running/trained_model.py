"""Saves a trained model from memory, as far as it differs from its base."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from skillpm.running.folder import UNRUNNABLE

_TRAINERS = ("use_cache",)
"""Keys of a config that a `Trainer` changes for the training only."""


def save_trained(model: Any, processor: Any, base: Path, target: Path) -> bool:
    """Write a model folder, or an adapter if PEFT trained one; return whether it is an adapter.

    The tokenizer or processor is saved only if it differs from the base's. `target` is empty, or a
    new folder.
    """
    if hasattr(model, "peft_config"):  # PEFT's own class, or a model of transformers with adapters
        model.save_pretrained(target)
        return True
    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    for key in _TRAINERS:
        if hasattr(config, key):
            setattr(model.config, key, getattr(config, key))
    model.save_pretrained(target)
    if processor is not None and not _is_of(base, processor):
        processor.save_pretrained(target)
    return False


def _is_of(base: Path, processor: Any) -> bool:
    """Whether a tokenizer is saved as the base's would be: then the base's own files are kept."""
    try:
        own = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    except UNRUNNABLE:
        return False
    return _saved(own) == _saved(processor)


def _saved(processor: Any) -> dict[str, bytes]:
    with TemporaryDirectory(prefix="skillpm-") as folder:
        processor.save_pretrained(folder)
        files = (path for path in Path(folder).rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}
