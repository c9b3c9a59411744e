"""Write safetensors files: several threads write tensors, each at its offset."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from skillpm.errors import IntegrityError
from skillpm.parallel import Advance, batches
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.merkle import LeafHasher
from skillpm.spec.safetensors import Placed, dump_header, layout

Chunks = Callable[[str], Iterator[bytes]]


def write_shard(
    path: Path,
    specs: Mapping[str, TensorSpec],
    chunks: Chunks,
    *,
    metadata: Mapping[str, str],
    pool: ThreadPoolExecutor,
    advance: Advance,
) -> dict[str, Digest]:
    """Write a file with these tensors and call fsync; return the leaves of what was written.

    The threads of `pool` write the tensors; each needs memory for a few chunks. Raises the errors
    of `chunks`; then the caller removes the file.
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
    """As `write_shard`, with a given header and a given offset for each tensor."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(fd, header, 0)
        jobs: list[Future[list[Digest]]] = []
        try:
            for batch in batches(placed, lambda tensor: tensor.spec.nbytes):
                jobs.append(pool.submit(_write_batch, fd, batch, len(header), chunks, advance))  # noqa: PERF401 - if `submit` fails, the earlier jobs must be waited for
            leaves = [leaf for job in jobs for leaf in job.result()]
        except BaseException:
            # Wait for running jobs, so that none of them writes to a closed descriptor. Cancelled
            # jobs are left out: after a shutdown of the pool, `wait` would block for them forever.
            wait([job for job in jobs if not job.cancel()])
            raise
        os.fsync(fd)
    finally:
        os.close(fd)
    return {tensor.spec.name: leaf for tensor, leaf in zip(placed, leaves, strict=True)}


def _write_batch(
    fd: int, batch: Sequence[Placed], start: int, chunks: Chunks, advance: Advance
) -> list[Digest]:
    return [_write(fd, placed, start, chunks, advance) for placed in batch]


def _write(fd: int, placed: Placed, start: int, chunks: Chunks, advance: Advance) -> Digest:
    hasher = LeafHasher(placed.spec.dtype, placed.spec.shape)
    position = start + placed.start
    for chunk in chunks(placed.spec.name):
        hasher.update(chunk)
        write_all(fd, chunk, position)
        position += len(chunk)
    if position != start + placed.stop:
        raise IntegrityError(
            f"`{placed.spec.name}` was written with {position - start - placed.start} bytes, "
            f"expected {placed.stop - placed.start}"
        )
    advance(placed.spec.nbytes)
    return hasher.digest()


def write_all(fd: int, data: bytes, position: int) -> None:
    """Write all of `data` at `position`."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, position)
        view, position = view[written:], position + written
