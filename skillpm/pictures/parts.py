"""The content of a picture of a pack, as plain numbers."""

from dataclasses import dataclass

from skillpm.spec.manifest import Kind

Cells = tuple[tuple[float | None, ...], ...]
"""One row per kind of module, one cell per layer; None if the pack has no such tensor."""


@dataclass(frozen=True, order=True)
class Column:
    """A layer: its number within a stack of layers."""

    stack: str
    number: str


@dataclass(frozen=True)
class KindSummary:
    """All tensors of a kind of module: stored bytes, and their relative error if it is known."""

    kind: Kind
    bytes: int
    error: float | None


@dataclass(frozen=True)
class LayerTable:
    """The layers of a pack: the stored bytes, and the bits for each weight, [kinds, columns].

    `outside` are the bytes of the tensors in no layer, such as embeddings. `hidden` counts the
    stacks that are left out because there are too many, and `hidden_bytes` their bytes.
    """

    columns: tuple[Column, ...]
    bytes: Cells
    bits: Cells
    outside: int
    hidden: int = 0
    hidden_bytes: int = 0

    @property
    def total(self) -> int:
        """The bytes of all columns."""
        return round(sum(cell or 0 for row in self.bytes for cell in row))


@dataclass(frozen=True)
class Curve:
    """Payload bytes and the remaining error (1: an empty pack), and the payload of this pack."""

    points: tuple[tuple[float, float], ...]
    payload: int


@dataclass(frozen=True)
class Picture:
    """What is stored for each kind of module and each layer; of `auto` also its curve.

    `lossy` is whether the pack has an error at all.
    """

    title: str
    facts: tuple[str, ...]
    kinds: tuple[KindSummary, ...]
    layers: LayerTable
    lossy: bool
    curve: Curve | None
