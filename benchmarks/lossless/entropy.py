"""The entropy coder: bytes relative to the entropy of order 0, and millions of symbols per second.

`python -m benchmarks.lossless.entropy` (a minute; needs `constriction`). Laplace integers of three
widths, with one context and sixteen. Each round trip is checked. One thread. See ADR 7.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import constriction
import numpy as np
import numpy.typing as npt

from benchmarks.tools.table import Table, add_output, publish
from skillpm.delta.coding.integers import decode_integers, encode_integers

if TYPE_CHECKING:
    from collections.abc import Callable

Ints = npt.NDArray[np.int32]
SIZES = (1 << 13, 1 << 16, 1 << 20, 1 << 24)
TIMES = 3


def sample(width: float, size: int, contexts: int) -> tuple[Ints, npt.NDArray[np.uint8]]:
    """Integers whose width grows with the context."""
    random = np.random.default_rng(size)
    context = random.integers(0, contexts, size, dtype=np.uint8)
    values = np.round(random.laplace(size=size) * width * 2.0 ** (context / 4))
    return values.astype(np.int32), context


def entropy_bytes(values: Ints, contexts: npt.NDArray[np.uint8]) -> float:
    """The entropy of the values under their contexts, without tables."""
    bits = 0.0
    for context in np.unique(contexts):
        counts = np.unique(values[contexts == context], return_counts=True)[1]
        bits -= float((counts * np.log2(counts / counts.sum())).sum())
    return bits / 8


def best_of(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the least seconds of a few runs."""
    seconds = []
    for _ in range(TIMES):
        started = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - started)
    return result, min(seconds)


def ours(values: Ints, contexts: npt.NDArray[np.uint8]) -> tuple[int, float, float]:
    data, made = best_of(lambda: encode_integers(values, contexts))
    back, read = best_of(lambda: decode_integers(data, contexts))
    assert np.array_equal(back, values)
    return len(data), made, read


def library(values: Ints, contexts: npt.NDArray[np.uint8]) -> tuple[int, float, float]:
    """Constriction's ANS coder, one static model per context; models are not counted."""
    low = int(values.min())
    groups = [values[contexts == context] - low for context in np.unique(contexts)]
    models = []
    for group in groups:
        shares = np.bincount(group, minlength=2) / group.size
        models.append(constriction.stream.model.Categorical(shares, perfect=False))

    def encode() -> npt.NDArray[np.uint32]:
        coder = constriction.stream.stack.AnsCoder()
        for group, model in zip(groups[::-1], models[::-1], strict=True):
            coder.encode_reverse(group, model)
        return np.asarray(coder.get_compressed())

    def decode() -> list[Ints]:
        coder = constriction.stream.stack.AnsCoder(data)
        pairs = zip(groups, models, strict=True)
        return [coder.decode(model, group.size) for group, model in pairs]

    data, made = best_of(encode)
    back, read = best_of(decode)
    assert all(np.array_equal(one, group) for one, group in zip(back, groups, strict=True))
    return data.nbytes, made, read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_output(parser)
    arguments = parser.parse_args()
    table = Table(
        "Entropy coder: bytes to the entropy of order 0, and M symbols/s",
        ("symbols", "bits", "contexts", "coder", "bytes", "to entropy", "encode", "decode"),
    )
    for size in SIZES:
        for width, contexts in ((0.25, 1), (3, 1), (0.5, 16)):
            values, context = sample(width, size, contexts)
            least = entropy_bytes(values, context)
            for name, coder in (("own rANS", ours), ("constriction", library)):
                count, made, read = coder(values, context)
                rates = [f"{size / 1e6 / seconds:.1f}" for seconds in (made, read)]
                bits = f"{8 * least / size:.2f}"
                ratio = f"{count / least:.4f}"
                table.row(f"{size:,}", bits, contexts, name, f"{count:,}", ratio, *rates)
    publish(table, arguments.append)


if __name__ == "__main__":
    main()
