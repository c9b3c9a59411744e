"""The content of a picture of a pack, as plain numbers."""

from dataclasses import dataclass

Cells = tuple[tuple[float | None, ...], ...]
"""One row per kind of module, one cell per column; None if there is no tensor."""


@dataclass(frozen=True, order=True)
class Column:
    """A layer: its number within a stack of layers. `stack` is None for tensors outside layers."""

    stack: str | None
    number: str


@dataclass(frozen=True)
class Curve:
    """A curve of bytes against loss, and the point of the pack itself."""

    points: tuple[tuple[float, float], ...]
    own: tuple[float, float]
    spent: str
    lost: str
    title: str


@dataclass(frozen=True)
class Picture:
    """Bytes and errors by layer and kind, and the rate-distortion curve."""

    title: str
    kinds: tuple[str, ...]
    columns: tuple[Column, ...]
    bytes: Cells
    bytes_title: str
    errors: Cells
    errors_title: str
    curve: Curve
