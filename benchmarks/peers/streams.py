"""Integers in a peer's file: one stream of the project's entropy coder for each tensor and part.

So no peer is charged for raw indices: zeros, positions and values cost their entropy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.fit import fit
from skillpm.delta.coding.integers import decode_integers, encode_integers, integer_bits

if TYPE_CHECKING:
    from benchmarks.peers.task import Budget
    from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
    from skillpm.delta.tensors.rounding import Floats
    from skillpm.spec.dtypes import TensorSpec

TRIES, FILES = 8, 6
"""Estimates of one search, and files that are written to correct it."""
Codes = npt.NDArray[np.int32]
Contexts = npt.NDArray[np.uint8]
Size = Callable[[float], float]


def no_context(count: int) -> Contexts:
    """One context for all integers, [count]."""
    return np.zeros(count, dtype=np.uint8)


def put_codes(
    writer: PayloadWriter,
    spec: TensorSpec,
    part: str,
    codes: Codes,
    contexts: Contexts | None = None,
) -> None:
    """Write flat codes, each under its context."""
    known = no_context(codes.size) if contexts is None else contexts
    writer.put_plain(spec.name, part, encode_integers(codes, known))


def read_codes(
    reader: PayloadReader,
    spec: TensorSpec,
    part: str,
    count: int,
    contexts: Contexts | None = None,
) -> Codes:
    """The inverse of `put_codes`."""
    known = no_context(count) if contexts is None else contexts
    data = reader.plain(spec.name, part, limit=16 * count + 4096)
    return decode_integers(data, known)


def bits_of(codes: Codes, contexts: Contexts | None = None) -> float:
    """Estimate the bits of a stream."""
    return integer_bits(codes, no_context(codes.size) if contexts is None else contexts)


def entropy(counts: npt.NDArray[Any]) -> float:
    """The bits of a stream in which symbols occur so often, tables not counted."""
    used = counts[counts > 0]
    return float(used @ np.log2(used.sum() / used)) if used.size else 0.0


def rounded(values: Floats, step: float) -> Codes:
    """Values in whole steps, to nearest; zeros if the step is 0."""
    steps = np.divide(values, step, out=np.zeros(values.shape), where=step > 0)
    return np.rint(steps).astype(np.int32)


def fitted(bits: Size, size: Size, budget: Budget, *, low: float, high: float) -> float:
    """The largest setting whose file fits: searched by estimates, corrected by files.

    `bits` estimates, `size` writes a file and returns its bytes. Raises `ValueError` if no setting
    fits.
    """
    aim = float(budget)
    for _ in range(FILES):
        setting = fit(lambda at: bits(at) / 8, aim, low=low, high=high, tries=TRIES)
        found = size(setting)
        if found <= budget:
            return setting
        aim = max(aim - 1.02 * (found - budget), 0.9 * aim * budget / found)
    message = f"no file of at most {budget} bytes was found"
    raise ValueError(message)
