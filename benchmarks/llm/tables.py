"""Tables of what candidates keep, and of their bytes at equal KL."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.tools.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.results import Row

REFERENCE = "auto"
"""The method whose KL the others are compared at."""


def kept_table(name: str, rows: Sequence[Row]) -> Table:
    """Every method and budget of one fine-tune, with 95 % intervals over documents."""
    scored = any("score" in row.detail for row in rows)
    headings = ["method", "budget", "MB", "of bf16", "loss", "gain kept", "95 %", "KL", "95 %",
                "agreement"]  # fmt: skip
    table = Table(f"{name}: held-out documents", (*headings, *(["right answers"] * scored), "s"))
    for row in rows:
        of = row.detail
        cells = [
            f"{row.bytes / 1e6:.2f}" if row.bytes else "-",
            f"{row.bytes / row.dense:.2%}" if row.bytes else "-",
            f"{of['loss']:.4f}",
            f"{of['gain_kept']:.1%}",
            f"{of['gain_low']:.1%} to {of['gain_high']:.1%}",
            f"{of['kl']:.2e}",
            f"{of['kl_low']:.2e} to {of['kl_high']:.2e}",
            f"{of['agreement']:.2%}",
        ]
        if scored:
            cells.append(f"{of['score']:.1%}" if "score" in of else "-")
        table.row(row.method, row.budget, *cells, f"{row.seconds:.0f}")
    return table


def lossless_table(name: str, rows: Sequence[Row]) -> Table:
    """The bytes of exact methods."""
    table = Table(f"{name}: exact", ("method", "MB", "of bf16", "to lossless"))
    ours = next((row.bytes for row in rows if row.method == "lossless"), None)
    for row in rows:
        ratio = "-" if ours is None else f"{row.bytes / ours:.3f}"
        table.row(row.method, f"{row.bytes / 1e6:.2f}", f"{row.bytes / row.dense:.2%}", ratio)
    return table


def equal_kl(name: str, rows: Sequence[Row], budget: str) -> Table:
    """The bytes of each method at the KL of `auto` with this budget, interpolated between rows."""
    aim = next(row for row in rows if row.method == REFERENCE and row.budget == budget)
    title = f"{name}: bytes at KL {aim.detail['kl']:.2e}, that of `{REFERENCE}` at {budget}"
    table = Table(title, ("method", "MB", f"{REFERENCE}'s bytes to it"))
    for method in dict.fromkeys(row.method for row in rows):
        points = [(row.bytes, row.detail["kl"]) for row in rows if row.method == method]
        table.row(method, *_bytes_at(points, aim.detail["kl"], aim.bytes))
    return table


def _bytes_at(points: Sequence[tuple[int, float]], kl: float, ours: int) -> tuple[str, str]:
    """Bytes at a KL and the ratio to them; a bound if all points are on one side of the KL.

    The logarithm of the bytes is interpolated linearly in the logarithm of the KL.
    """
    line = sorted(points)
    if line[-1][1] > kl:
        return f"over {line[-1][0] / 1e6:.2f}", f"under {ours / line[-1][0]:.3f}"
    below = next(place for place, (_, found) in enumerate(line) if found <= kl)
    size, found = line[below]
    if found == kl:
        return f"{size / 1e6:.2f}", f"{ours / size:.3f}"
    if below == 0:
        return f"under {size / 1e6:.2f}", f"over {ours / size:.3f}"
    smaller, worse = line[below - 1]
    share = math.log(worse / kl) / math.log(worse / found)
    at = smaller * (size / smaller) ** share
    return f"{at / 1e6:.2f}", f"{ours / at:.3f}"
