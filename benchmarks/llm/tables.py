"""Tables of what candidates keep, and of their bytes at equal KL."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.tools.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.results import Row

REFERENCE = "auto"
"""The method whose KL the others are compared at."""
OWN_PACKS = frozenset({REFERENCE, "auto-calibrated"})
"""Methods of this checkout."""


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


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes at a KL: interpolated, or a bound (`over`, `under`) if no row is on its other side."""

    size: float
    bound: str = ""

    def __str__(self) -> str:
        return f"{self.bound} {self.size / 1e6:.2f}".strip()

    def over(self, size: float) -> str:
        """The ratio of these bytes to `size`."""
        return f"{self.bound} {self.size / size:.3f}".strip()

    def under(self, size: float) -> str:
        """The ratio of `size` to these bytes."""
        turned = {"over": "under", "under": "over", "": ""}[self.bound]
        return f"{turned} {size / self.size:.3f}".strip()


def bytes_at(points: Sequence[tuple[int, float]], kl: float) -> Estimate:
    """The bytes at a KL, from pairs of bytes and KL.

    The logarithm of the bytes is interpolated linearly in the logarithm of the KL, between the
    smallest row that reaches the KL and the next smaller row. Nothing is extrapolated. A KL of 0,
    that of a lossless row, bounds but does not interpolate.
    """
    line = sorted(points)
    place = next((place for place, (_, found) in enumerate(line) if found <= kl), None)
    if place is None:
        return Estimate(line[-1][0], "over")
    size, found = line[place]
    if found == kl:
        return Estimate(size)
    if place == 0 or found == 0:
        return Estimate(size, "under")
    smaller, worse = line[place - 1]
    share = math.log(worse / kl) / math.log(worse / found)
    return Estimate(smaller * (size / smaller) ** share)


def equal_kl(name: str, rows: Sequence[Row], budget: str) -> Table:
    """The bytes of each method at the KL of `auto` with this budget."""
    aim = next(row for row in rows if row.method == REFERENCE and row.budget == budget)
    title = f"{name}: bytes at KL {aim.detail['kl']:.2e}, that of `{REFERENCE}` at {budget}"
    table = Table(title, ("method", "MB", f"{REFERENCE}'s bytes to it"))
    for method in dict.fromkeys(row.method for row in rows):
        found = bytes_at(_points(rows, method), aim.detail["kl"])
        table.row(method, str(found), found.under(aim.bytes))
    return table


def needed(name: str, rows: Sequence[Row], lossless: int | None) -> Table:
    """Each row of another method, and the bytes that `auto` takes for the same KL.

    So that a single row of the other method suffices, the rows of `auto` are interpolated;
    `lossless`, the bytes of the lossless pack, is their end. The last columns use the bounds of
    the interval of the other method's KL.
    """
    ours = [*_points(rows, REFERENCE), *([(lossless, 0.0)] if lossless else [])]
    title = f"{name}: bytes of `{REFERENCE}` at the KL of other methods"
    headings = ("method", "budget", "MB", "KL", REFERENCE, "to its bytes", "at KL's bounds")
    table = Table(title, headings)
    for row in rows:
        if row.method in OWN_PACKS:
            continue
        kl, low, high = (row.detail[key] for key in ("kl", "kl_low", "kl_high"))
        found = bytes_at(ours, kl)
        ends = " to ".join(bytes_at(ours, end).over(row.bytes) for end in (high, low))
        cells = (f"{row.bytes / 1e6:.2f}", f"{kl:.2e}", str(found), found.over(row.bytes), ends)
        table.row(row.method, row.budget, *cells)
    return table


def _points(rows: Sequence[Row], method: str) -> list[tuple[int, float]]:
    return [(row.bytes, row.detail["kl"]) for row in rows if row.method == method]
