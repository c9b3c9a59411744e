"""The device of the tensor maths of lossy schemes: `cpu`, `cuda` or `cuda:N`.

The functions of `delta.auto` compute where their inputs are. Deltas, metrics and samples are placed
here; integers and sums come back to the CPU, which codes them. Decoding never uses a device.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Self

import numpy as np
import torch

from skillpm.delta.tensors.rounding import to_float64
from skillpm.delta.tensors.words import Words
from skillpm.errors import GraftError, UsageError

_NAME = re.compile(r"cpu|cuda(:(0|[1-9][0-9]{0,2}))?")
_HINT = "`--device cpu` works on every machine"
_WORDS = {"BF16": np.int16, "F16": np.int16, "F32": np.int32, "F64": np.int64}
_VALUES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}
"""The dtypes that are subtracted on an accelerator; numpy subtracts the others."""


class _ThreadLimit:
    """The number of threads that torch had before the outermost block of `torch_threads`."""

    lock = Lock()
    depth = 0
    before = 1


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use at most `count` threads for one operation in the block, then as many as before.

    The number belongs to the process. Blocks of several threads may overlap: the first one sets the
    limit, and the last one restores the number.
    """
    with _ThreadLimit.lock:
        if not _ThreadLimit.depth:
            _ThreadLimit.before = torch.get_num_threads()
            torch.set_num_threads(min(_ThreadLimit.before, count))
        _ThreadLimit.depth += 1
    try:
        yield
    finally:
        with _ThreadLimit.lock:
            _ThreadLimit.depth -= 1
            if not _ThreadLimit.depth:
                torch.set_num_threads(_ThreadLimit.before)


@dataclass(frozen=True)
class ComputeDevice:
    """A device by its name in torch."""

    name: str = "cpu"

    @classmethod
    def find(cls, name: str) -> Self:
        """Return a device that this machine has.

        Raises `UsageError` for a name of another form, `GraftError` if there is no such device.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"`--device` is `{name}`, expected `cpu`, `cuda` or `cuda:N`", hint=_HINT
            )
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        number = int(name.partition(":")[2] or 0)
        if name != "cpu" and number >= count:
            raise GraftError(
                f"there is no device `{name}`: torch {torch.__version__} finds {count} CUDA "
                f"{'device' if count == 1 else 'devices'}",
                hint=_HINT,
            )
        return cls(name)

    @property
    def is_cpu(self) -> bool:
        """Whether tensors stay in main memory."""
        return self.name == "cpu"

    def place(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor on the device; the tensor itself if it is there."""
        return tensor.to(self.name)

    def difference(self, reference: Words, tuned: Words, dtype: str) -> torch.Tensor:
        """Return float32(float64(tuned) - float64(reference)) on the device, in their shape.

        NaN and Inf if a value is not finite. The result is the same on every device.
        """
        if not self.is_cpu and dtype in _VALUES:
            return (self._values(tuned, dtype) - self._values(reference, dtype)).float()
        with np.errstate(over="ignore", invalid="ignore"):  # callers check for Inf and NaN
            delta = to_float64(tuned.reshape(-1), dtype) - to_float64(reference.reshape(-1), dtype)
            values = torch.from_numpy(delta.astype(np.float32).reshape(tuned.shape))
        return self.place(values)

    def _values(self, words: Words, dtype: str) -> torch.Tensor:
        """Move words as they are stored, and return their values as float64."""
        return self.place(torch.tensor(words.view(_WORDS[dtype]))).view(_VALUES[dtype]).double()

    @contextmanager
    def memory_errors(self) -> Iterator[None]:
        """Raise `GraftError` where the memory of the device is too small for the block."""
        try:
            yield
        except torch.OutOfMemoryError as problem:
            raise GraftError(
                f"the device `{self.name}` has too little memory",
                hint=f"`--workers 1` holds fewer tensors there; {_HINT}",
            ) from problem


CPU = ComputeDevice()
