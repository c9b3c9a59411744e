"""`inspect --plot`: what a pack stores, by kind of module and by layer, from the pack alone."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import Any

from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.tensors.module_kinds import KINDS, block_of, kind_of
from skillpm.errors import SpecError
from skillpm.flows.packs.protocol import AnyPack
from skillpm.journal.atomic import write_atomic
from skillpm.pictures.canvas import figure_file
from skillpm.pictures.draw import draw
from skillpm.pictures.formats import picture_format
from skillpm.pictures.parts import Column, Curve, KindSummary, LayerTable, Picture
from skillpm.spec.manifest import Compression, FootprintEntry, Kind
from skillpm.spec.pack_texts import compression_text, error_text
from skillpm.verification.evidence import shown

_GAP = 64
_STACKS = 6
"""The most stacks of layers that are drawn; the largest ones are."""
Sizes = Mapping[str, int]


def write_picture(pack: AnyPack, path: Path) -> None:
    """Draw a pack and write the file atomically; the ending of `path` chooses the format.

    Reads the header of each payload layer, and no payload. Raises `UsageError` for another ending,
    `IntegrityError` for a damaged layer, `SpecError` for an invalid curve in the manifest.
    """
    kind = picture_format(path)
    write_atomic(path, figure_file(draw(picture_of(pack)), kind))


def picture_of(pack: AnyPack) -> Picture:
    """Return the data of the plot."""
    manifest = pack.manifest
    compression = manifest.compression
    opened = OpenPack.of(manifest, pack.open_layer)
    sizes = {entry.tensor: _stored(opened, entry) for entry in manifest.footprint}
    error = compression.relative_error
    return Picture(
        title=manifest.ref,
        facts=_facts(compression, pack.file_size),
        kinds=tuple(_summary(kind, compression) for kind in KINDS if kind in compression.modules),
        layers=_layers(manifest.footprint, sizes),
        lossy=bool(error) or any(module.relative_error for module in compression.modules.values()),
        curve=_curve(compression),
    )


def _facts(compression: Compression, file_size: int) -> tuple[str, ...]:
    """Return the sizes and the error in the words of `inspect`."""
    sizes = compression_text(compression, size=file_size)
    return sizes, error_text(compression.relative_error)


def _summary(kind: Kind, compression: Compression) -> KindSummary:
    module = compression.modules[kind]
    return KindSummary(kind, module.bytes, module.relative_error)


def _stored(opened: OpenPack, entry: FootprintEntry) -> int:
    return opened.reader(entry.layer).stored_bytes(entry.tensor) if entry.layer else 0


def _column(tensor: str) -> Column | None:
    """Return the column of a tensor's layer; None if its block has no number."""
    stack, _, number = block_of(tensor).rpartition(".")
    numbered = number.isascii() and number.isdigit()
    return Column(stack, number.lstrip("0") or "0") if numbered else None


def _layers(footprint: Iterable[FootprintEntry], sizes: Sizes) -> LayerTable:
    """Sum bytes and weights by kind and layer. Keeps the largest stacks of layers."""
    cells: dict[tuple[Kind, Column], tuple[int, int]] = {}
    of_stack: dict[str, int] = {}
    outside = 0
    for entry in footprint:
        column, size = _column(entry.tensor), sizes[entry.tensor]
        if column is None:
            outside += size
            continue
        place = kind_of(entry.tensor), column
        stored, weights = cells.get(place, (0, 0))
        cells[place] = stored + size, weights + (entry.spec.elements if entry.layer else 0)
        of_stack[column.stack] = of_stack.get(column.stack, 0) + size
    largest = sorted(of_stack, key=lambda stack: (-of_stack[stack], stack))
    drawn, hidden = set(largest[:_STACKS]), largest[_STACKS:]
    columns = _columns({column for _, column in cells if column.stack in drawn})
    return LayerTable(
        columns,
        tuple(tuple(_bytes_in(cells.get((kind, c))) for c in columns) for kind in KINDS),
        tuple(tuple(_bits_in(cells.get((kind, c))) for c in columns) for kind in KINDS),
        outside,
        len(hidden),
        sum(of_stack[stack] for stack in hidden),
    )


def _bytes_in(cell: tuple[int, int] | None) -> float | None:
    return None if cell is None else float(cell[0])


def _bits_in(cell: tuple[int, int] | None) -> float | None:
    return 8 * cell[0] / cell[1] if cell is not None and cell[1] else None


def _columns(present: set[Column]) -> tuple[Column, ...]:
    """Order the columns by stack and number; short gaps in a stack are filled."""
    columns: list[Column] = []
    for stack, layers in groupby(sorted(present), key=lambda column: column.stack):
        numbers = {column.number for column in layers}
        last = max(numbers, key=_in_order)
        short = len(last) <= len(str(_GAP * len(numbers)))
        if short and int(last) < _GAP + 4 * len(numbers):
            numbers |= {str(number) for number in range(int(last))}
        columns += [Column(stack, number) for number in sorted(numbers, key=_in_order)]
    return tuple(columns)


def _in_order(number: str) -> tuple[int, str]:
    """Return a sort key by value for decimal digits without leading zeros, of any length."""
    return len(number), number


def _curve(compression: Compression) -> Curve | None:
    """Return the curve that `auto` recorded; None if the manifest has none."""
    recorded = compression.settings.get("curve")
    if recorded is None:
        return None
    if not (isinstance(recorded, list) and recorded and all(map(_is_point, recorded))):
        raise SpecError(
            "compression.settings.curve of the manifest: expected pairs of bytes and distortion, "
            f"found {shown(recorded)}"
        )
    points = tuple(sorted((float(size), float(lost)) for size, lost in recorded))
    return Curve(points, compression.payload_bytes)


def _is_number(value: Any) -> bool:
    """Whether a JSON value is a number that can be plotted: finite and not negative."""
    return type(value) in (int, float) and 0 <= value < 2.0**63 and isfinite(value)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))  # noqa: PLR2004
