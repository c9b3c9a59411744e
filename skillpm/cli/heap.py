"""Settings of the C library's heap, for commands that work on tensors."""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENAS = -1, -3, -8
"""`mallopt` parameters of glibc: see its manual, "Malloc Tunable Parameters"."""
_KEPT = 32 << 20
_MAPPED = 16 << 20


def keep_freed_memory() -> None:
    """Keep up to 32 MB that a thread frees, instead of returning it to the system.

    Tensors are read in chunks of 2^20 words, and each pass allocates arrays of that size. By
    default glibc returns them after every chunk, and the system clears the same pages again for the
    next one: a quarter of the processor time of packing a LoRA. All threads share one arena, so
    that what one thread frees serves the others. Without glibc nothing changes.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _MAPPED)
        mallopt(_ARENAS, 1)
