"""Settings of the C library's heap. Without glibc, nothing happens."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENAS = -1, -3, -8
"""`mallopt` parameters of glibc: see its manual, "Malloc Tunable Parameters"."""
_KEPT = 32 << 20
_MAPPED, _MAPPED_IN_SURVEYS = 16 << 20, 1 << 20


class _Heap:
    """Whether this process is a command, so that its heap may be set."""

    is_ours = False


@cache
def keep_freed_memory() -> None:
    """Keep up to 32 MB that a thread frees, instead of returning it to the system.

    Tensors are read in chunks of 2^20 words, and each pass allocates arrays of that size. By
    default glibc returns them after every chunk, and the system clears the same pages again for the
    next one: a quarter of the processor time of packing a LoRA. All threads share one arena, so
    that what one thread frees serves the others. For commands that work on tensors; later calls do
    nothing.
    """
    _Heap.is_ours = True
    _set((_TRIM_THRESHOLD, _KEPT), (_MMAP_THRESHOLD, _MAPPED), (_ARENAS, 1))


@contextmanager
def large_tensors_apart() -> Iterator[None]:
    """Return arrays from 1 MB on to the system as soon as they are freed in the block.

    The temporary tensors of a survey are of many sizes, so in the heap freed ones leave gaps
    between those in use. Applies only to a command that called `keep_freed_memory`.
    """
    if _Heap.is_ours:
        _set((_MMAP_THRESHOLD, _MAPPED_IN_SURVEYS))
    try:
        yield
    finally:
        if _Heap.is_ours:
            _set((_MMAP_THRESHOLD, _MAPPED))


def _set(*parameters: tuple[int, int]) -> None:
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter in parameters:
            mallopt(*parameter)
