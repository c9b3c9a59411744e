"""Check that a config describes the stored tensors, before memory is allocated for the model.

A few bytes of an untrusted config can ask for any number of layers and experts. Therefore
`spec.config_numbers` limits its numbers first. Then the model is built on the `meta` device, which
stores no values, and construction stops once the model is larger than the stored tensors allow.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.nn.modules import module

from skillpm.spec.dtypes import TensorSpec

SLACK = 1 << 20
"""Elements of parameters that need not be stored, for example those of an encoder's pooler."""
_PACKED = 8
"""The largest number of weights in one element of a quantized tensor: one bit for each."""
_Build = Callable[[], Any]


@dataclass(frozen=True)
class ParameterBounds:
    """Limits for building a model: the numbers of parameters and buffers, elements and modules."""

    parameters: int
    elements: int
    modules: int


def check_parameters(
    build: _Build, specs: Mapping[str, TensorSpec], *, packed: bool, complete: bool
) -> None:
    """Raise `ValueError` unless the parameters of the model from `build` match the stored tensors.

    With `packed`, the tensors are quantized, so their shapes differ from the model's. With
    `complete`, every parameter must be stored, except tied ones. Stored tensors that the model does
    not use are allowed. Time and memory depend on the number of tensors but not on their sizes.
    """
    model = build_bounded(build, specs, packed=packed)
    total, allowed = _allowed(specs, packed=packed)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    elements = sum(map(prod, shapes.values()))
    if elements > allowed:
        raise ValueError(
            f"its config describes {elements} parameters, but its tensors have {total}"
        )
    if not packed:
        prefix = f"{getattr(model, 'base_model_prefix', '')}."
        _check_names(shapes, specs, prefix=prefix, complete=complete)


def build_bounded(build: _Build, specs: Mapping[str, TensorSpec], *, packed: bool) -> Any:
    """Call `build` on the `meta` device. Raises `ValueError` once the model exceeds `specs`."""
    _, allowed = _allowed(specs, packed=packed)
    bounds = ParameterBounds(2 * len(specs) + 64, 2 * allowed, 64 * len(specs) + 4096)
    with _bounded(bounds), torch.device("meta"):
        return build()


def _allowed(specs: Mapping[str, TensorSpec], *, packed: bool) -> tuple[int, int]:
    """The number of stored elements, and the number that a model of them may have."""
    total = sum(prod(spec.shape) for spec in specs.values())
    return total, (total * _PACKED if packed else total) + SLACK


def _check_names(
    shapes: Mapping[str, tuple[int, ...]],
    specs: Mapping[str, TensorSpec],
    *,
    prefix: str,
    complete: bool,
) -> None:
    """Compare parameters and stored tensors of the same name, apart from the base model's prefix.

    transformers converts other names when it loads the model. If `complete` and no stored tensor is
    left to convert, a parameter without a tensor is an error: it would be initialized at random.
    """
    used: set[str] = set()
    missing: list[str] = []
    for name, shape in sorted(shapes.items()):
        candidates = (name, f"{prefix}{name}", name.removeprefix(prefix))
        stored = next((candidate for candidate in candidates if candidate in specs), None)
        if stored is None:
            missing.append(name)
            continue
        used.add(stored)
        if prod(specs[stored].shape) != prod(shape):
            raise ValueError(
                f"its config describes `{name}` as {list(shape)}, but the tensor is "
                f"{list(specs[stored].shape)}"
            )
    if complete and missing and used == specs.keys():
        raise ValueError(f"its config describes `{missing[0]}`, and there is no such tensor")


@contextmanager
def _bounded(bounds: ParameterBounds) -> Iterator[None]:
    """Count the modules and parameters that this thread builds in the block.

    Raises `ValueError` from the constructor that exceeds a limit.
    """
    counts = {"modules": 0, "parameters": 0, "elements": 0}
    thread = threading.get_ident()

    def count(**added: int) -> None:
        for what, number in added.items() if threading.get_ident() == thread else ():
            counts[what] += number
            if counts[what] > getattr(bounds, what):
                raise ValueError(
                    f"its config describes more than {getattr(bounds, what)} {what}, which is more "
                    "than its tensors allow"
                )

    def on_tensor(_module: Any, _name: str, value: Any) -> None:
        if value is not None:
            count(parameters=1, elements=value.numel())

    def on_module(_module: Any, _name: str, _part: Any) -> None:
        count(modules=1)

    with ExitStack() as hooks:
        for handle in (
            module.register_module_parameter_registration_hook(on_tensor),
            module.register_module_buffer_registration_hook(on_tensor),
            module.register_module_module_registration_hook(on_module),
        ):
            hooks.callback(handle.remove)
        yield
