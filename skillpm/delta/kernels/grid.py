"""Kernels of the codec `grid`: contexts of its integers, and the entries that they stand for.

Their reference is `skillpm.delta.codecs.grid` and `grid_contexts` there. A span of a flattened
matrix is given by its start and the width of a row; the caller keeps it within the matrix.
"""

from skillpm.delta.kernels.kernel import F64, U8, OutF64, OutU8, kernel


@kernel
def class_contexts(rows: U8, columns: U8, start: int, width: int, most: int, out: OutU8) -> None:
    """Write row class + column class, at most `most`, for each entry of a span [n].

    A side without classes is empty. A sum of two classes is below 256.
    """
    row, column, at = start // width, start % width, 0
    while at < out.size:
        count = min(width - column, out.size - at)
        of_row = int(rows[row]) if rows.size else 0
        if columns.size:
            for number in range(count):
                out[at + number] = min(of_row + int(columns[column + number]), most)
        else:
            for number in range(count):
                out[at + number] = min(of_row, most)
        at += count
        row, column = row + 1, 0


@kernel
def octave_contexts(
    exponents: U8, anchor: int, floor: int, cells: int, octaves: int, contexts: OutU8
) -> None:
    """Combine the classes [n] in `contexts`, in place, with the octaves of the exponents [n].

    There are `octaves` octaves, each with `cells` contexts.
    """
    for number in range(contexts.size):
        octave = min(max(anchor - int(exponents[number]), 0), octaves - 1)
        cell = min(max(int(contexts[number]) - floor, 0), cells - 1)
        contexts[number] = octave * cells + cell


@kernel
def entries(
    folded: U8, table: F64, rows: F64, columns: F64, start: int, width: int, values: OutF64
) -> None:
    """Write table[code] · column · row for each code of a span [n], each product rounded once.

    `table` [256] is indexed by code. A side without scales is empty.
    """
    row, column, at = start // width, start % width, 0
    while at < folded.size:
        count = min(width - column, folded.size - at)
        for number in range(count):
            values[at + number] = table[folded[at + number]]
        if columns.size:
            for number in range(count):
                values[at + number] = values[at + number] * columns[column + number]
        if rows.size:
            scale = rows[row]
            for number in range(count):
                values[at + number] = values[at + number] * scale
        at += count
        row, column = row + 1, 0
