"""Proof that a model in memory, before it is trained, is the model of a folder."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from skillpm.errors import IntegrityError
from skillpm.running.folder import UNRUNNABLE, not_runnable

_WRAPPERS = (".base_layer.", ".original_module.")
"""The parts of parameter names that PEFT inserts where it wraps a module."""


@torch.no_grad()
def check_start(model: Any, folder: Path) -> int:
    """Compare each parameter of a model with the weights of a folder, bit for bit.

    The model's own class loads the folder, so that names and conversions are those of the model. A
    model in a wider dtype is equal if every value is. Parameters that the folder does not have, or
    has in another shape, are not compared: a new head, further rows of an embedding. Returns the
    number of equal parameters. On the CPU the folder's weights are mapped, so memory holds one
    parameter more. Raises `IntegrityError` if a parameter differs or none can be compared,
    `GraftError` if the class cannot load the folder.
    """
    stored, absent = _stored(model, folder)
    values = {_plain(name): value for name, value in model.named_parameters()}
    compared = 0
    for name, expected in stored.named_parameters():
        value = values.get(name)
        if value is None or name in absent or value.shape != expected.shape:
            continue
        if not _equal(value.detach().cpu(), expected):
            raise _differs(name, value, expected, folder)
        compared += 1
    if not compared:
        raise IntegrityError(
            f"no parameter of the model is in `{folder}`, so it is not the base of this training",
            hint="name the folder that the model was loaded from: `PackCallback(..., base=PATH)`",
        )
    return compared


def _stored(model: Any, folder: Path) -> tuple[Any, frozenset[str]]:
    """The model of a folder by the class of another, and the parameters that are not from it."""
    config = copy.deepcopy(model.config)
    setattr(config, "dtype" if "dtype" in vars(config) else "torch_dtype", None)  # as stored
    with torch.random.fork_rng():  # the values of a new head are drawn
        try:
            stored, loading = type(model).from_pretrained(
                folder,
                config=config,
                dtype="auto",
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        except UNRUNNABLE as problem:
            hint = "name the folder that the model was loaded from: `PackCallback(..., base=PATH)`"
            raise not_runnable(folder, problem, hint) from problem
    return stored, frozenset([*loading["missing_keys"], *_names(loading["mismatched_keys"])])


def _names(mismatched: Any) -> list[str]:
    """The names in `mismatched_keys`, whose entries are names, or names with two shapes."""
    return [entry if isinstance(entry, str) else entry[0] for entry in mismatched]


def _plain(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, ".")
    return name


def _equal(value: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether all values are equal, and the dtype of the first represents those of the second."""
    converted = expected.to(value.dtype)
    exact = torch.equal(converted.to(expected.dtype), expected)
    return exact and torch.equal(value, converted)


def _differs(
    name: str, value: torch.Tensor, expected: torch.Tensor, folder: Path
) -> IntegrityError:
    rounded = torch.equal(value.detach().cpu(), expected.to(value.dtype))
    hint = 'load the model with `dtype="auto"`' if rounded else (
        "name the folder that the model was loaded from: `PackCallback(..., base=PATH)`"
    )  # fmt: skip
    how = f"was rounded to {value.dtype}" if rounded else "differs"
    return IntegrityError(
        f"the training does not start from the weights of `{folder}`: `{name}` {how}", hint=hint
    )


def sharding_of(model: Any) -> str | None:
    """Why this process does not hold all values of a model; None if it does."""
    for name, value in model.named_parameters():
        if hasattr(value, "ds_id"):
            return f"DeepSpeed ZeRO-3 shards `{name}`"
        if hasattr(value, "full_tensor"):
            return f"`{name}` is a DTensor"
        if value.is_meta or not value.numel():
            return f"`{name}` has no values in this process"
    return None


def quantisation_of(model: Any) -> str | None:
    """The method by which the weights of a model are quantised, or None."""
    config = getattr(model.config, "quantization_config", None)
    if config is None and not getattr(model, "is_quantized", False):
        return None
    named = config.get("quant_method") if isinstance(config, Mapping) else (
        getattr(config, "quant_method", None)
    )  # fmt: skip
    return str(getattr(named, "value", named) or "unknown")
