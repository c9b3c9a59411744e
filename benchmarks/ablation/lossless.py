"""What classes of rows and columns save in mode `r` of `lossless`.

`python -m benchmarks.ablation.lossless BASE TUNED`. Each chunk of a fine-tune is coded under the
exponents of the base; under these and classes of rows, of columns, or of both; and under both
without a map, with eight classes in each of eight octaves. A way that does not save bytes falls
back to exponents. Bytes are estimates of the streams with classes and maps, within 0.1 %. Takes two
minutes on SmolLM2-135M.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.tools.table import Table, add_output, publish
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.codecs.lossless_contexts import (
    LARGEST,
    Span,
    choose_model,
    exponents_of,
    mapped_model,
)
from skillpm.delta.codecs.shared.classes import NONE
from skillpm.delta.codecs.shared.flips import SignGrid
from skillpm.delta.codecs.shared.octaves import Octaves, upper_end
from skillpm.delta.coding.integers import plan_folded
from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import pair_chunks
from skillpm.delta.tensors.words import chunk_spans, difference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skillpm.checkpoint.model import Checkpoint
    from skillpm.delta.tensors.words import Words

EXPONENTS, ROWS, COLUMNS, BOTH, UNMAPPED = WAYS = (
    "exponents", "rows", "columns", "rows and columns", "without a map",
)  # fmt: skip
_FEW = 8


def bits_of(span: Span, reference: Words, folded: Words) -> dict[str, float]:
    """Return the bits of a chunk's differences [n] in every way."""
    wide, exponents = folded.astype(np.uint32), exponents_of(reference, span.spec.dtype)
    flat = replace(span, spec=replace(span.spec, shape=(span.size,)))
    found = dict.fromkeys(WAYS, choose_model(flat, reference, folded).bits)
    cells = choose_model(span, reference, folded).cells
    if cells is None:
        return found
    rows, columns = cells.classes.rows, cells.classes.columns
    for way, sides in ((BOTH, (rows, columns)), (ROWS, (rows, NONE)), (COLUMNS, (NONE, columns))):
        classes = replace(cells.classes, rows=sides[0], columns=sides[1])
        octaves = cells.octaves if way == BOTH else replace(cells.octaves, floor=0)
        model = mapped_model(cells.grid, classes, octaves, wide, exponents)
        found[way] = min(found[way], model.bits)
    floor = cells.octaves.floor + max(0, cells.octaves.cells - _FEW) // 2
    octaves = Octaves(upper_end(exponents, LARGEST), floor, _FEW)
    contexts = octaves.contexts(cells.grid.contexts(cells.classes), exponents)
    own = 8 * sum(map(len, cells.dump()[:2]))
    found[UNMAPPED] = min(found[UNMAPPED], own + plan_folded(wide, contexts).bits)
    return found


def differences(base: Checkpoint, tuned: Checkpoint) -> Iterator[tuple[Span, Words, Words]]:
    """Yield each chunk that differs, its reference [n], and the differences [n] of mode `f`."""
    for name, spec in tuned.specs.items():
        if base.specs.get(name) != spec:
            continue
        chunks = pair_chunks(base, tuned, Pair(name, spec, spec))
        for (start, stop), (reference, after) in zip(chunk_spans(spec), chunks, strict=True):
            folded = difference(reference, after, spec.dtype)
            grid = SignGrid.of(spec, start, folded.size)
            signs = grid.find(folded) if grid else None
            if grid is not None and signs is not None:
                folded = grid.flip(folded, signs)
            if folded.any():
                yield Span(spec, start, stop - start), reference, folded


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("tuned", type=Path)
    add_output(parser)
    arguments = parser.parse_args()
    base, tuned = open_checkpoint(arguments.base), open_checkpoint(arguments.tuned)
    bits = {"embedding": dict.fromkeys(WAYS, 0.0), "other tensors": dict.fromkeys(WAYS, 0.0)}
    for span, reference, folded in differences(base, tuned):
        embedding = kind_of(span.spec.name) == "embedding"
        sums = bits["embedding" if embedding else "other tensors"]
        for way, size in bits_of(span, reference, folded).items():
            sums[way] += size
    table = Table("Contexts of mode `r`", ("tensors", *WAYS))
    for group, sums in bits.items():
        table.row(group, *(f"{sums[way] / 8e6:.3f} MB" for way in WAYS))
    publish(table, arguments.append)


if __name__ == "__main__":
    main()
