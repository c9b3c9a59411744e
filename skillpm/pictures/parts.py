"""What a picture of a pack shows, as plain numbers."""

from dataclasses import dataclass

Cells = tuple[tuple[float | None, ...], ...]
"""One row for each kind of module, one cell for each column; None where there is no tensor."""


@dataclass(frozen=True, order=True)
class Column:
    """A layer: its number within a stack of layers. `stack` is None for what is in no layer."""

    stack: str | None
    number: str


@dataclass(frozen=True)
class Curve:
    """Bytes against what is lost, and the point where the pack itself lies."""

    points: tuple[tuple[float, float], ...]
    own: tuple[float, float]
    spent: str
    lost: str
    title: str


@dataclass(frozen=True)
class Picture:
    """Where the bytes and the error are, layer by kind, and the rate-distortion curve."""

    title: str
    kinds: tuple[str, ...]
    columns: tuple[Column, ...]
    bytes: Cells
    bytes_title: str
    errors: Cells
    errors_title: str
    curve: Curve
