"""Runs work in threads, and counts its progress."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Advance = Callable[[int], None]
"""Is called with the amount of work just finished, mostly bytes of tensors, from any thread."""


def no_advance(_amount: int) -> None:
    """Ignore progress."""


@contextmanager
def thread_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads. If the block raises, work that has not begun is cancelled.

    Waits for work that has begun.
    """
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> list[Result]:
    """The results of a function for all items, in the order of the items.

    Raises the first error in that order; calls that have not begun are cancelled then.
    """
    with thread_pool(workers) as pool:
        return list(pool.map(function, items))
