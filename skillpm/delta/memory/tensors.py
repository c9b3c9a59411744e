"""Dictionaries of tensors as sources: torch tensors or numpy arrays, by name.

A caller who has a torch tensor has imported torch. It is imported here only to make torch tensors
where there are none yet.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from skillpm.delta.memory.container import Library
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.words import Bytes
from skillpm.errors import UsageError
from skillpm.spec.dtypes import TensorSpec

DTYPES: Mapping[str, str] = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32",
    "int32": "I32", "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16",
    "float32": "F32", "float64": "F64", "complex64": "C64", "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0", "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
}  # fmt: skip
"""The safetensors name of a dtype, by its name in torch and in numpy (with ml_dtypes)."""
_NAMES = {stored: name for name, stored in DTYPES.items()}


@dataclass(frozen=True)
class TensorDict:
    """A `Source`: the specs and the raw bytes [nbytes] of tensors in memory, by name.

    Contiguous tensors in the memory of the CPU are not copied.
    """

    specs: Mapping[str, TensorSpec]
    data: Mapping[str, Bytes]

    @classmethod
    def of(cls, tensors: Mapping[str, Any]) -> Self:
        """Read torch tensors or numpy arrays. Raises `UsageError` for anything else."""
        specs = {name: _spec(name, tensor) for name, tensor in tensors.items()}
        return cls(specs, {name: _bytes_of(tensor) for name, tensor in tensors.items()})

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the tensor's little-endian bytes, `CHUNK` words at a time; the last has fewer."""
        data, step = self.data[name], CHUNK * self.specs[name].itemsize
        for start in range(0, data.size, step):
            yield data[start : start + step].tobytes()


def library_of(*tensors: Any) -> Library:
    """The library of the first tensor; numpy without one."""
    return "torch" if tensors and _is_torch(tensors[0]) else "numpy"


def new_tensor(spec: TensorSpec, name: Library) -> tuple[Any, Bytes]:
    """Make a tensor on the CPU, of a library.

    Returns the tensor, and a view of its bytes [nbytes]. Raises `UsageError` if the library does
    not have the dtype, or cannot be imported.
    """
    library: Any = np if name == "numpy" else _torch()
    dtype = _dtype_of(_NAMES.get(spec.dtype, ""), library)
    if dtype is None:
        raise UsageError(
            f"`{spec.name}` is {spec.dtype}, which {library.__name__} does not have",
            hint="encode and apply torch tensors"
            if library is np
            else "install a newer version of torch",
        )
    tensor = library.empty(spec.shape, dtype=dtype)
    return tensor, _bytes_of(tensor)


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError as problem:
        raise UsageError(
            f"the delta has torch tensors, and torch cannot be imported: {problem}",
            hint="`pip install torch`, or pass the tensors before the delta as numpy arrays",
        ) from problem


def _dtype_of(name: str, library: Any) -> Any:
    """Return a dtype of a library by its name; None if the library does not have it."""
    if library is not np:
        return getattr(library, name or "-", None)
    try:
        return np.dtype(name) if name else None
    except TypeError:
        return None


def placed_like(tensor: Any, sample: Any) -> Any:
    """Return a tensor on the sample's device."""
    return tensor.to(sample.device) if _is_torch(sample) else tensor


def _is_torch(tensor: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(tensor, torch.Tensor)


def _spec(name: str, tensor: Any) -> TensorSpec:
    if not _is_torch(tensor) and not isinstance(tensor, np.ndarray):
        kind = type(tensor).__name__
        raise UsageError(f"`{name}` is a {kind}, expected a torch.Tensor or a numpy array")
    dtype = str(tensor.dtype).removeprefix("torch.") if _is_torch(tensor) else tensor.dtype.name
    if dtype not in DTYPES:
        raise UsageError(f"`{name}` is {dtype}, expected one of {', '.join(DTYPES)}")
    if _is_torch(tensor) and (str(tensor.layout) != "torch.strided" or tensor.is_meta):
        raise UsageError(f"`{name}` is sparse or on the meta device, expected a dense tensor")
    return TensorSpec(name, DTYPES[dtype], tuple(int(size) for size in tensor.shape))


def _bytes_of(tensor: Any) -> Bytes:
    """Return the little-endian bytes [nbytes] of a dense tensor."""
    if _is_torch(tensor):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        view: Bytes = flat.view(sys.modules["torch"].uint8).numpy()
        return view
    little = tensor.astype(tensor.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(little).reshape(-1).view(np.uint8)
