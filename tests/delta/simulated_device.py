"""A device that torch takes for another one than the CPU, and that computes on the CPU.

Its tensors have the device `meta`. A call that mixes them with tensors in main memory fails, as it
does on an accelerator, and so does reading their memory. The simulation covers the current thread.
"""

from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "meta"
_READS, _COPIES = "aten::_local_scalar_dense", "aten::copy_"


class DeviceTensor(torch.Tensor):
    """A tensor on the simulated device; `held` has its values."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls: type[Self], held: torch.Tensor) -> Self:
        wrapper = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device=torch.device(NAME)
        )
        wrapper.held = held
        return wrapper

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _call(func, args, kwargs or {})


class SimulatedDevice(TorchDispatchMode):
    """A context in which tensors can be placed on the simulated device. Counts calls there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[str] = []

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(isinstance(leaf, DeviceTensor) for leaf in tree_leaves((args, kwargs))):
            self.calls.append(func._schema.name)
        return _call(func, args, kwargs or {})


def _call(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute on the CPU, and return tensors of the device on which torch would return them."""
    name, target = func._schema.name, kwargs.get("device")
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = any(isinstance(tensor, DeviceTensor) for tensor in tensors)
    here = any(tensor.ndim and not isinstance(tensor, DeviceTensor) for tensor in tensors)
    if there and here and name != _COPIES:
        raise RuntimeError(f"{name} got tensors on two devices")
    if target is not None:
        there = torch.device(target).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    result = func(*tree_map(_held, args), **tree_map(_held, kwargs))
    if name == _READS:
        return result
    if func._schema.is_mutable:
        return args[0]
    return tree_map(_wrapped, result) if there else result


def _held(value: Any) -> Any:
    return value.held if isinstance(value, DeviceTensor) else value


def _wrapped(value: Any) -> Any:
    return DeviceTensor(value) if isinstance(value, torch.Tensor) else value
