"""Whether a config describes the tensors that are there, decided before memory is taken for it.

A config may come from a stranger: a few bytes of it ask for any number of layers and experts.
Numbers are bounded first (`spec.config_numbers`); then the model is built on the `meta` device,
which stores no values, and counted while it is built.
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
"""Elements of parameters that a model may have beyond the tensors: an encoder's pooler, say."""
_PACKED = 8
"""Weights that one element of a quantised tensor holds at most: one bit each."""
_Build = Callable[[], Any]


@dataclass(frozen=True)
class ParameterBounds:
    """What a model of these tensors may have: parameters and buffers, their elements, modules."""

    parameters: int
    elements: int
    modules: int


def check_parameters(
    build: _Build, specs: Mapping[str, TensorSpec], *, packed: bool, complete: bool
) -> None:
    """Raise `ValueError` unless the model that `build` makes has the parameters of these tensors.

    `packed` says that the tensors are quantised, so that shapes are not the model's; `complete`
    that every parameter must be stored, but for tied ones. A stored tensor that the model does not
    use is no fault. Takes time and memory by the number of tensors, none by their sizes.
    """
    model = build_bounded(build, specs, packed=packed)
    total, allowed = _allowed(specs, packed=packed)
    shapes = {name: tuple(each.shape) for name, each in model.named_parameters()}
    elements = sum(map(prod, shapes.values()))
    if elements > allowed:
        raise ValueError(
            f"its config describes {elements} parameters, and its tensors hold {total}"
        )
    if not packed:
        prefix = f"{getattr(model, 'base_model_prefix', '')}."
        _check_names(shapes, specs, prefix=prefix, complete=complete)


def build_bounded(build: _Build, specs: Mapping[str, TensorSpec], *, packed: bool) -> Any:
    """The model that `build` makes on the `meta` device; `ValueError` once it outgrows `specs`."""
    _, allowed = _allowed(specs, packed=packed)
    bounds = ParameterBounds(2 * len(specs) + 64, 2 * allowed, 64 * len(specs) + 4096)
    with _bounded(bounds), torch.device("meta"):
        return build()


def _allowed(specs: Mapping[str, TensorSpec], *, packed: bool) -> tuple[int, int]:
    """The elements that are stored, and those that a model of them may have."""
    total = sum(prod(spec.shape) for spec in specs.values())
    return total, (total * _PACKED if packed else total) + SLACK


def _check_names(
    shapes: Mapping[str, tuple[int, ...]],
    specs: Mapping[str, TensorSpec],
    *,
    prefix: str,
    complete: bool,
) -> None:
    """Compare by name what has the same name on both sides, but for the prefix of a headless model.

    Other names are the library's to convert; where no stored tensor is left for that, a parameter
    without one would be made up.
    """
    used: set[str] = set()
    missing: list[str] = []
    for name, shape in sorted(shapes.items()):
        likely = (name, f"{prefix}{name}", name.removeprefix(prefix))
        stored = next((each for each in likely if each in specs), None)
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
    """Count what this thread builds of modules; raise `ValueError` over the bounds."""
    counts = {"modules": 0, "parameters": 0, "elements": 0}
    thread = threading.get_ident()

    def count(**more: int) -> None:
        for what, number in more.items() if threading.get_ident() == thread else ():
            counts[what] += number
            if counts[what] > getattr(bounds, what):
                raise ValueError(
                    f"its config describes more than {getattr(bounds, what)} {what}, and its "
                    "tensors are fewer"
                )

    def keep(_module: Any, _name: str, value: Any) -> None:
        if value is not None:
            count(parameters=1, elements=value.numel())

    def nest(_module: Any, _name: str, _part: Any) -> None:
        count(modules=1)

    with ExitStack() as hooks:
        for handle in (
            module.register_module_parameter_registration_hook(keep),
            module.register_module_buffer_registration_hook(keep),
            module.register_module_module_registration_hook(nest),
        ):
            hooks.callback(handle.remove)
        yield
