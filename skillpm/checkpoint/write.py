"""Writing safetensors files tensor by tensor, each at its own place, from several threads."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from skillpm.errors import IntegrityError
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.merkle import LeafHasher
from skillpm.spec.safetensors import Placed, dump_header, layout

Chunks = Callable[[str], Iterator[bytes]]
Advance = Callable[[int], None]


def write_shard(
    path: Path,
    specs: Mapping[str, TensorSpec],
    chunks: Chunks,
    *,
    metadata: Mapping[str, str],
    pool: ThreadPoolExecutor,
    advance: Advance,
) -> dict[str, Digest]:
    """Write one file of these tensors, fsynced; return their leaves, hashed as they are written.

    Tensors are written by the threads of `pool`, each holding a few chunks; this one only waits.
    Raises what `chunks` raises; the file is then the caller's to remove.
    """
    placed = layout(specs.values())
    return write_tensors(
        path, dump_header(placed, metadata), placed, chunks, pool=pool, advance=advance
    )


def write_tensors(
    path: Path,
    header: bytes,
    placed: Sequence[Placed],
    chunks: Chunks,
    *,
    pool: ThreadPoolExecutor,
    advance: Advance,
) -> dict[str, Digest]:
    """As `write_shard`, with all bytes before the tensors as given, and each tensor's place."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(fd, header, 0)
        jobs: list[Future[Digest]] = []
        try:
            for each in placed:
                jobs.append(pool.submit(_write, fd, each, len(header), chunks, advance))  # noqa: PERF401 - those before one that fails are waited for
            leaves = [job.result() for job in jobs]
        except BaseException:
            # None may write to a descriptor that is closed. `wait` would never end for a cancelled
            # one that its pool, shut down, does not come to any more.
            wait([job for job in jobs if not job.cancel()])
            raise
        os.fsync(fd)
    finally:
        os.close(fd)
    return {each.spec.name: leaf for each, leaf in zip(placed, leaves, strict=True)}


def _write(fd: int, placed: Placed, start: int, chunks: Chunks, advance: Advance) -> Digest:
    hasher = LeafHasher(placed.spec.dtype, placed.spec.shape)
    position = start + placed.start
    for chunk in chunks(placed.spec.name):
        hasher.update(chunk)
        write_all(fd, chunk, position)
        position += len(chunk)
    if position != start + placed.stop:
        raise IntegrityError(f"`{placed.spec.name}` came out at another size than its shape says")
    advance(placed.spec.nbytes)
    return hasher.digest()


def write_all(fd: int, data: bytes, position: int) -> None:
    """Write all of `data` at `position`."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, position)
        view, position = view[written:], position + written
