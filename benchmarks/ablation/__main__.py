"""What contexts of exponents save in `grid`, and whether a lattice of the dtype would save more.

`python -m benchmarks.ablation BASE TUNED [--steps 11,12,13,14]`. All matrices of a fine-tune are
coded with one step, 2^-11 to 2^-14: by `grid` under classes of rows and columns alone, by `grid`
under exponents of the base too, and exactly after rounding to the lattice of the storage dtype (the
larger of ulp and step). Errors are relative to the delta, after the graft's rounding. Takes four
minutes on SmolLM2-135M.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

from benchmarks.ablation.matrices import Matrix, Size, matrices
from benchmarks.tools.table import Table, add_output, publish
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.tensors.module_kinds import kind_of

PLAIN, CONTEXTS, LATTICE, EXACT = "classes", "exponents", "lattice", "lossless"


@dataclass
class Sums:
    """Sums over matrices: bytes and errors by way of coding and step, and the delta's energy."""

    bytes: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    errors: dict[tuple[str, int], float] = field(default_factory=lambda: defaultdict(float))
    energy: float = 0.0

    def add(self, matrix: Matrix, octaves: list[int]) -> None:
        """Code a matrix in all ways."""
        self.energy += matrix.energy
        self._count(EXACT, 0, matrix.lossless())
        for octave in octaves:
            step = 2.0**-octave
            self._count(PLAIN, octave, matrix.grid(step, exponents=False))
            self._count(CONTEXTS, octave, matrix.grid(step, exponents=True))
            self._count(LATTICE, octave, matrix.lattice(step))

    def _count(self, way: str, octave: int, size: Size) -> None:
        self.bytes[way, octave] += size.size
        self.errors[way, octave] += size.error

    def cells(self, way: str, octave: int) -> tuple[str, str]:
        """The bytes and the relative error of one way."""
        error = sqrt(self.errors[way, octave] / self.energy)
        return f"{self.bytes[way, octave] / 1e6:.3f} MB", f"{error:.3f}"


def table(group: str, sums: Sums, octaves: list[int]) -> Table:
    """The table of one group of matrices."""
    exact = sums.cells(EXACT, 0)[0]
    made = Table(
        f"{group}: exactly {exact}",
        ("step", "classes", "exponents", "ratio", "error", "lattice", "its error"),
    )
    for octave in octaves:
        plain, (size, error) = sums.cells(PLAIN, octave)[0], sums.cells(CONTEXTS, octave)
        ratio = sums.bytes[CONTEXTS, octave] / max(1, sums.bytes[PLAIN, octave])
        made.row(f"2^-{octave}", plain, size, f"{ratio:.2f}", error, *sums.cells(LATTICE, octave))
    return made


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("--steps", default="11,12,13,14", help="octaves below 1")
    add_output(parser)
    arguments = parser.parse_args()
    octaves = [int(step) for step in arguments.steps.split(",")]
    groups: dict[str, Sums] = defaultdict(Sums)
    for matrix in matrices(open_checkpoint(arguments.base), open_checkpoint(arguments.tuned)):
        group = "embedding" if kind_of(matrix.spec.name) == "embedding" else "other matrices"
        groups[group].add(matrix, octaves)
    for group, sums in sorted(groups.items()):
        publish(table(group, sums, octaves), arguments.append)


if __name__ == "__main__":
    main()
