"""Writing a file of tensors with several threads, and interrupting it."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import pytest

from skillpm.checkpoint.write import write_shard
from skillpm.parallel import BATCH_BYTES
from skillpm.spec.dtypes import TensorSpec


def test_write_shard_stops_when_its_pool_is_shut_down(tmp_path: Path) -> None:
    specs = {name: TensorSpec(name, "U8", (BATCH_BYTES,)) for name in "abcd"}
    begun, go_on = threading.Event(), threading.Event()

    def chunks(_name: str) -> Iterator[bytes]:
        begun.set()
        go_on.wait()
        yield bytes(BATCH_BYTES)

    pool, files = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    path = tmp_path / "model.safetensors"
    writer = files.submit(
        write_shard, path, specs, chunks, metadata={}, pool=pool, advance=lambda _n: None
    )
    begun.wait()
    pool.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    with pytest.raises((CancelledError, RuntimeError)):
        writer.result(timeout=20)
    files.shutdown()
