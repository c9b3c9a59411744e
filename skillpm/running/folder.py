"""A model folder, perhaps a stranger's: what is checked before it is run, and errors of that."""

import copy
import os
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from skillpm.checkpoint.model import open_checkpoint
from skillpm.errors import GraftError, SkillpmError
from skillpm.running.parameters import check_parameters
from skillpm.spec.config_numbers import check_numbers

UNRUNNABLE = (
    OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError, AttributeError,
    AssertionError,
)  # fmt: skip
"""What transformers and torch raise for a config that fits no weights, or a device not there."""
_PANIC = "PanicException"


class NotRunnableError(GraftError):
    """A folder that transformers cannot load, and what it says of it."""

    def __init__(self, folder: Path, reason: str, hint: str) -> None:
        super().__init__(f"`{folder}` cannot be run by transformers: {reason}", hint=hint)
        self.reason = reason


def is_foreign(problem: BaseException) -> bool:
    """Whether an error is of a library that runs models. A panic in Rust is no `Exception`.

    Strangers' tokenizers bring on errors of any kind.
    """
    ours = isinstance(problem, SkillpmError)
    return (isinstance(problem, Exception) and not ours) or type(problem).__name__ == _PANIC


def checked_config(folder: Path) -> Any:
    """The config of a model folder, none of whose numbers are beyond the tensors there.

    Raises `ValueError` and what transformers raises.
    """
    checkpoint = open_checkpoint(folder)
    check_numbers(checkpoint.config or {}, checkpoint.specs)
    return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def load_weights(kind: Any, config: Any, folder: Path, dtype: Any) -> Any:
    """The model of a class, or of one of the auto classes, with a folder's safetensors.

    Only names and shapes are built first, and compared with the tensors: raises `ValueError` where
    the config describes other ones, before memory is taken for it, and where parameters of a causal
    LM are in no file, which would be made up.
    """
    build = kind._from_config if hasattr(kind, "_from_config") else kind.from_config  # noqa: SLF001 - what `from_config` of an auto class calls
    check_parameters(
        lambda: build(copy.deepcopy(config)),
        open_checkpoint(folder).specs,
        packed=getattr(config, "quantization_config", None) is not None,
        complete=is_causal(config),
    )
    model, loaded = kind.from_pretrained(
        folder,
        dtype=dtype,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    if is_causal(config) and loaded["missing_keys"]:
        raise ValueError(f"its weights have no `{min(loaded['missing_keys'])}`")
    return model


def not_runnable(folder: Path, problem: BaseException, hint: str) -> NotRunnableError:
    """The error for a folder at which transformers raised one of `UNRUNNABLE`."""
    return NotRunnableError(folder, why(problem), hint)


def why(problem: BaseException) -> str:
    """The first line of an error that is not ours, or what kind it is."""
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__


def is_causal(config: Any) -> bool:
    """Whether a config names a causal LM."""
    names = config.architectures or []
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)


def placed(model: Any, device: str) -> Any:
    """The model on a device. Raises `GraftError` where there is none, or no room on it."""
    try:
        return model.to(device)
    except UNRUNNABLE as problem:
        raise GraftError(
            f"the model cannot run on the device {device!r}: {why(problem)}",
            hint="the device `cpu` is always there",
        ) from problem


def refuse_adapter(folder: Path) -> None:
    """Raise `GraftError` where transformers would load an adapter that nobody has hashed."""
    if (folder / "adapter_config.json").exists():
        raise GraftError(
            f"`{folder}` holds an adapter beside a model: it would be run, and is no part of it",
            hint=f"move `{folder / 'adapter_config.json'}` elsewhere",
        )


def stored_bytes(folder: Path) -> int:
    """The bytes of a model folder's weights."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def memory() -> int:
    """The bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def dtype_for(stored: torch.dtype | None, size: int, memory: int) -> torch.dtype:
    """Float32, unless that takes over half of `memory` bytes: then what the weights are stored in.

    `size` is of the weights as they are stored.
    """
    if stored not in (torch.bfloat16, torch.float16):
        return torch.float32
    return stored if 2 * size > memory // 2 else torch.float32
