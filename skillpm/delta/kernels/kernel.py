"""The decorators of kernels. A kernel compiles, or loads from the cache, when it is first called.

The annotations of a kernel's arguments are its signature: `int` is int64, `float` is float64, and
an array has the dtype of its alias below. Arguments of another type are refused, so a kernel is
compiled exactly once for each width of `Words`.

Kernels run without the interpreter's lock. They use no fast-math and no fused operations (law 3),
and check every bound that depends on data.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import update_wrapper
from typing import Annotated, Any, Generic, ParamSpec, TypeVar, get_type_hints

import numpy as np
import numpy.typing as npt

from skillpm.delta.kernels.cache import CompiledCode
from skillpm.delta.kernels.choice import SETTINGS, numba_module

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class ArrayType:
    """A contiguous array argument. Without a dtype, it has one of the kernel's widths."""

    dtype: str | None
    writable: bool = False
    dimensions: int = 1


U8 = Annotated[npt.NDArray[np.uint8], ArrayType("u1")]
U16 = Annotated[npt.NDArray[np.uint16], ArrayType("u2")]
U32 = Annotated[npt.NDArray[np.uint32], ArrayType("u4")]
I32 = Annotated[npt.NDArray[np.int32], ArrayType("i4")]
I64 = Annotated[npt.NDArray[np.int64], ArrayType("i8")]
F64 = Annotated[npt.NDArray[np.float64], ArrayType("f8")]
OutU8 = Annotated[npt.NDArray[np.uint8], ArrayType("u1", writable=True)]
OutU16 = Annotated[npt.NDArray[np.uint16], ArrayType("u2", writable=True)]
OutU32 = Annotated[npt.NDArray[np.uint32], ArrayType("u4", writable=True)]
OutI32 = Annotated[npt.NDArray[np.int32], ArrayType("i4", writable=True)]
OutI64 = Annotated[npt.NDArray[np.int64], ArrayType("i8", writable=True)]
OutF64 = Annotated[npt.NDArray[np.float64], ArrayType("f8", writable=True)]
Words = Annotated[npt.NDArray[np.unsignedinteger], ArrayType(None)]
OutWords = Annotated[npt.NDArray[np.unsignedinteger], ArrayType(None, writable=True)]
WIDTHS = (1, 2, 4)
"""The widths of `Words`, in bytes, that kernels are compiled for."""


class Kernel(Generic[P, R]):
    """A compiled function. It compiles when it is first called, from any thread."""

    def __init__(self, function: Callable[P, R], *, cached: bool) -> None:
        self.function = function
        self._cached = cached
        self._dispatcher: Any = None
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the compiled function. Raises `TypeError` for arguments of another type."""
        if self._dispatcher is None:
            self.compile()
        result: R = self._dispatcher(*args, **kwargs)
        return result

    @property
    def _numba_type_(self) -> Any:
        """The type by which numba compiles a call of this kernel within another one."""
        return self.compile()._numba_type_

    def compile(self) -> Any:
        """Compile all signatures, or load them; return numba's dispatcher."""
        with SETTINGS.lock:
            if self._dispatcher is None:
                numba = numba_module()
                assert numba is not None  # noqa: S101 - `choice.compiled` was asked before
                dispatcher = numba.njit(nogil=True, fastmath=False)(self.function)
                if self._cached:
                    dispatcher._cache = CompiledCode(self.function)  # noqa: SLF001 - numba's own cache checks no owner
                    for signature in self.signatures(numba.types, numba.from_dtype):
                        dispatcher.compile(signature)
                    dispatcher.disable_compile()
                self._dispatcher = dispatcher
            return self._dispatcher

    def signatures(self, types: Any, from_dtype: Callable[[Any], Any]) -> Iterator[tuple[Any, ...]]:
        """Yield the types of the arguments, once for each width of `Words`."""
        hints = get_type_hints(self.function, include_extras=True)
        hints.pop("return", None)
        arrays = [array for hint in hints.values() for array in _arrays(hint)]
        generic = any(array.dtype is None for array in arrays)
        for width in WIDTHS if generic else WIDTHS[:1]:
            yield tuple(
                _numba_type(hint, f"u{width}", types, from_dtype) for hint in hints.values()
            )


def _arrays(hint: Any) -> list[ArrayType]:
    return [item for item in getattr(hint, "__metadata__", ()) if isinstance(item, ArrayType)]


def _numba_type(hint: Any, word: str, types: Any, from_dtype: Callable[[Any], Any]) -> Any:
    for array in _arrays(hint):
        element = from_dtype(np.dtype(array.dtype or word))
        return types.Array(element, array.dimensions, "C", readonly=not array.writable)
    return {int: types.int64, float: types.float64, bool: types.boolean}[hint]


KERNELS: list[Kernel[..., Any]] = []
"""All kernels that are called from Python."""


def kernel(function: Callable[P, R]) -> Kernel[P, R]:
    """Make a kernel of a function, whose compiled code is cached."""
    made = Kernel(function, cached=True)
    KERNELS.append(made)
    return made


def helper(function: Callable[P, R]) -> Kernel[P, R]:
    """Make a function that only kernels call; it is compiled into them."""
    return Kernel(function, cached=False)
