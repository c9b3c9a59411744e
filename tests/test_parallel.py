"""Work in threads: results in order, and nothing begins after an error."""

import threading
from concurrent.futures import Future

import pytest

from skillpm.parallel import BATCH_BYTES, BATCH_ITEMS, batches, parallel_map, thread_pool


def test_results_have_the_order_of_the_items() -> None:
    assert parallel_map(lambda number: number * number, range(50), workers=4) == [
        number * number for number in range(50)
    ]


def test_after_an_error_no_more_work_begins() -> None:
    begun: list[int] = []
    released = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            threading.Timer(0.2, released.set).start()
            raise ValueError(number)
        released.wait(10)

    with pytest.raises(ValueError, match="0"):
        parallel_map(work, range(1000), workers=2)
    assert len(begun) < 1000


def test_a_block_that_raises_cancels_waiting_work_and_ends_running_work() -> None:
    released = threading.Event()
    work: list[Future[bool]] = []

    def raising_block() -> None:
        with thread_pool(1) as pool:
            work.extend(pool.submit(released.wait, 10) for _ in range(2))
            threading.Timer(0.2, released.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        raising_block()
    assert work[0].result()
    assert work[1].cancelled()


def test_small_items_share_a_batch_and_large_items_have_their_own() -> None:
    sizes = [BATCH_BYTES // 2, BATCH_BYTES // 2, 1, 5 * BATCH_BYTES, 7, *[0] * BATCH_ITEMS]
    groups = list(batches(sizes, lambda size: size))
    assert [size for group in groups for size in group] == sizes
    assert [len(group) for group in groups] == [2, 1, 1, BATCH_ITEMS, 1]


def test_results_of_batches_have_the_order_of_the_items() -> None:
    results = parallel_map(lambda number: -number, range(500), workers=3, size=lambda _: 1)
    assert results == [-number for number in range(500)]


def test_an_error_in_a_batch_is_the_first_in_the_order_of_the_items() -> None:
    def work(number: int) -> int:
        if number in (130, 70, 300):
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match=r"^70$"):
        parallel_map(work, range(500), workers=4, size=lambda _: 1)
