"""Work in threads: results in order, and nothing begins after an error."""

import threading
from concurrent.futures import Future

import pytest

from skillpm.parallel import parallel_map, thread_pool


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
