"""What trellis-coded factors could save of packs by `auto`: a bound.

`python -m benchmarks.ablation.factors PACK…`. Of every pack: the bytes of all parts, and those of
the integers of singular factors in `svd-ec` and in `svd-ec+grid`. A trellis with eight states saves
at most `TRELLIS` of the integers at equal distortion (ideal entropy), so of the file at most that
times their share.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.tools.table import Table, add_output, publish
from skillpm.archive.reader import open_pack
from skillpm.delta.codecs import svd_ec, svd_ec_grid
from skillpm.delta.codecs.shared.coded import Sections
from skillpm.delta.codecs.shared.parts import sections_of
from skillpm.flows.packs.composition import opened

if TYPE_CHECKING:
    from skillpm.delta.coding.payload import PayloadReader
    from skillpm.spec.dtypes import TensorSpec

TRELLIS = 0.11
"""The largest saving measured on factors: 0.89 to 0.94 of their bytes remain."""
_SCALES = 3
"""Sections of the scales of ranks, rows and columns, before those of the integers."""


@dataclass(frozen=True)
class FactorBytes:
    """Tensors of a pack by codec, the bytes of all parts, and of factors by codec."""

    tensors: Counter[str]
    parts: int
    factors: Counter[str]

    @classmethod
    def of(cls, path: Path) -> FactorBytes:
        """Read all parts of a pack; decodes no integers."""
        (pack,) = opened([open_pack(path)])
        tensors, parts, factors = Counter[str](), 0, Counter[str]()
        for name, entry in pack.entries.items():
            if entry.layer is None or entry.codec is None:
                continue
            reader = pack.reader(entry.layer)
            tensors[entry.codec] += 1
            parts += reader.stored_bytes(name)
            factors[entry.codec] += integers_of(entry.spec, reader, entry.codec)
        return cls(tensors, parts, factors)

    @property
    def share(self) -> float:
        """The share of factors in the bytes of all parts."""
        return self.factors.total() / self.parts


def integers_of(spec: TensorSpec, reader: PayloadReader, codec: str) -> int:
    """The bytes of the integers of both factors of a tensor; 0 for a codec without factors."""
    if codec not in (svd_ec.NAME, svd_ec_grid.NAME):
        return 0
    sections = sections_of(spec, reader)
    if codec == svd_ec_grid.NAME:
        sections = Sections(sections.next(), spec.name)
    for _ in range(_SCALES):
        sections.next()
    return len(sections.next()) + len(sections.next())


def table(packs: list[Path]) -> Table:
    """The bounds of all packs."""
    made = Table(
        "Factors in packs by `auto`",
        ("pack", "bytes", "svd-ec", "svd-ec+grid", "factor bytes", "share", "trellis at most"),
    )
    for path in packs:
        found = FactorBytes.of(path)
        counts = [found.tensors[name] for name in (svd_ec.NAME, svd_ec_grid.NAME)]
        share, most = f"{found.share:.2%}", f"{TRELLIS * found.share:.2%}"
        made.row(path.stem, found.parts, *counts, found.factors.total(), share, most)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation.factors", description=__doc__
    )
    parser.add_argument("packs", nargs="+", type=Path)
    add_output(parser)
    arguments = parser.parse_args()
    publish(table(arguments.packs), arguments.append)


if __name__ == "__main__":
    main()
