"""Checks of a model folder, which may be untrusted, before transformers loads it."""

import copy
import os
import resource
from contextlib import suppress
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
"""Errors of transformers and torch for a config that does not match the weights, or a device."""
_CONTROL_GROUP = Path("/sys/fs/cgroup/memory.max")
"""The memory limit of this process's control group, as containers see it."""
_PANIC = "PanicException"
"""The class that a panic in a library written in Rust raises. It is not an `Exception`."""


class NotRunnableError(GraftError):
    """A model folder that transformers cannot load. `reason` is the error of transformers."""

    def __init__(self, folder: Path, reason: str, hint: str) -> None:
        super().__init__(f"`{folder}` cannot be run by transformers: {reason}", hint=hint)
        self.reason = reason


def is_foreign(problem: BaseException) -> bool:
    """Whether a library raised an error, rather than skillpm or an interrupt by the user.

    Libraries raise errors of every class for untrusted tokenizers and configs.
    """
    is_own = isinstance(problem, SkillpmError)
    return (isinstance(problem, Exception) and not is_own) or type(problem).__name__ == _PANIC


def checked_config(folder: Path) -> Any:
    """Load the config of a model folder, after comparing its numbers with the tensors.

    Raises `ValueError` for numbers that do not fit the tensors, and the errors of transformers.
    """
    checkpoint = open_checkpoint(folder)
    check_numbers(checkpoint.config or {}, checkpoint.specs)
    return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def load_weights(kind: Any, config: Any, folder: Path, dtype: Any = None) -> Any:
    """Load a model with the safetensors of a folder. `kind` is a model class or an auto class.

    Without `dtype`, it is float32 if memory permits; see `dtype_for`.

    Before memory is allocated, the names and shapes of the config's parameters are compared with
    the tensors. Raises `ValueError` if they differ, or if a parameter of a causal LM is in no file;
    transformers would initialize it at random.
    """
    build = kind._from_config if hasattr(kind, "_from_config") else kind.from_config  # noqa: SLF001 - called by `from_config` of auto classes
    check_parameters(
        lambda: build(copy.deepcopy(config)),
        open_checkpoint(folder).specs,
        packed=getattr(config, "quantization_config", None) is not None,
        complete=is_causal(config),
    )
    model, loaded = kind.from_pretrained(
        folder,
        dtype=dtype or dtype_for(config.dtype, stored_bytes(folder), memory()),
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    if is_causal(config) and loaded["missing_keys"]:
        raise ValueError(f"its weights have no `{min(loaded['missing_keys'])}`")
    return model


def not_runnable(folder: Path, problem: BaseException, hint: str) -> NotRunnableError:
    """The error for a folder for which transformers raised one of `UNRUNNABLE`."""
    return NotRunnableError(folder, reason_of(problem), hint)


def reason_of(problem: BaseException) -> str:
    """The first line of a library's error; the name of its class if it has no text."""
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__


def is_causal(config: Any) -> bool:
    """Whether a config names a causal LM."""
    names = config.architectures or []
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)


def move_to_device(model: Any, device: str) -> Any:
    """Move a model to a device. Raises `GraftError` if there is no such device or memory."""
    try:
        return model.to(device)
    except UNRUNNABLE as problem:
        raise GraftError(
            f"the model cannot run on the device {device!r}: {reason_of(problem)}",
            hint="`--device cpu` works on every machine",
        ) from problem


def refuse_adapter(folder: Path) -> None:
    """Raise `GraftError` for an adapter beside a model: transformers would load it unverified."""
    if (folder / "adapter_config.json").exists():
        raise GraftError(
            f"`{folder}` contains an adapter in addition to the model: transformers would load "
            "both, but the adapter is not part of the model's root",
            hint=f"move `{folder / 'adapter_config.json'}` to another folder",
        )


def stored_bytes(folder: Path) -> int:
    """The size of a model folder's weights in bytes."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def memory() -> int:
    """The bytes of memory that this process may use: of the machine, or a limit that is set.

    Limits are those of the process's address space and data, and of its control group.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        limit = resource.getrlimit(kind)[0]
        limits += [] if limit == resource.RLIM_INFINITY else [limit]
    with suppress(OSError, ValueError):  # `max` is no number
        limits.append(int(_CONTROL_GROUP.read_text(encoding="ascii")))
    return min(limits)


def device_memory(device: str) -> int:
    """The bytes of memory of a device; those of `memory` for the CPU."""
    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(device).total_memory)
    return memory()


def is_too_large(config: Any, folder: Path) -> bool:
    """Whether a model of floats takes over a third of the memory in float32.

    The rest is for gradients, logits, and the values that a backward pass needs.
    """
    if getattr(config, "quantization_config", None) is not None:
        return False
    half = config.dtype in (torch.bfloat16, torch.float16)
    return stored_bytes(folder) * (2 if half else 1) > memory() // 3


def dtype_for(stored: torch.dtype | None, size: int, memory: int) -> torch.dtype:
    """The dtype for running a model: float32, unless it takes over half of the memory.

    In that case it is the dtype `stored` of 16 bits. `size` is the size of the stored weights and
    `memory` that of the machine's memory, in bytes.
    """
    if stored not in (torch.bfloat16, torch.float16):
        return torch.float32
    return stored if 2 * size > memory // 2 else torch.float32
