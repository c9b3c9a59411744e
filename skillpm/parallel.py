"""Runs work in threads, and counts its progress."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH_BYTES = 1 << 20
"""The bytes of tensors that one call of a thread handles. A call costs as much as some 64 KB."""
BATCH_ITEMS = 64

Advance = Callable[[int], None]
"""Is called with the amount of work just finished, mostly bytes of tensors, from any thread."""


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a command: its label in the progress bar, and about how many seconds it takes."""

    label: str
    seconds: float


def no_plan(_stages: Sequence[PlannedStage]) -> None:
    """Ignore a plan."""


def no_advance(_amount: int) -> None:
    """Ignore progress."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _nothing() -> None:
    """Do nothing."""


@contextmanager
def thread_pool(
    workers: int, stop: Callable[[], object] = _nothing
) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads. If the block raises, work that has not begun is cancelled.

    Waits for work that has begun; `stop` is called before that, so that it can end early.
    """
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield pool
        except BaseException:
            stop()
            pool.shutdown(cancel_futures=True)
            raise


def parallel_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    size: Callable[[Item], int] | None = None,
    stop: Callable[[], object] = _nothing,
) -> list[Result]:
    """The results of a function for all items, in the order of the items.

    `size` is the bytes of an item; with it, a thread takes small items in batches. Raises the first
    error in that order; calls that have not begun are cancelled then, and `stop` is called before
    the others are waited for.
    """
    with thread_pool(workers, stop) as pool:
        if size is None:
            return list(pool.map(function, items))
        return map_batches(pool, function, batches(items, size))


def batches(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Group consecutive items, up to `BATCH_BYTES` and `BATCH_ITEMS` for each group."""
    group: list[Item] = []
    left = BATCH_BYTES
    for item in items:
        left -= size(item)
        if group and (left < 0 or len(group) == BATCH_ITEMS):
            yield group
            group, left = [], BATCH_BYTES - size(item)
        group.append(item)
    if group:
        yield group


def map_batches(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], groups: Iterable[list[Item]]
) -> list[Result]:
    """The results of a function for all items, in order; a thread takes a whole group."""
    results = pool.map(lambda group: [function(item) for item in group], groups)
    return [result for group in results for result in group]
