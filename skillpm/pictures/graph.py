"""A graph of releases, as plain values: what a picture of a lineage shows."""

from dataclasses import dataclass
from typing import Literal

NodeKind = Literal["base", "named", "required", "ancestor"]
EdgeKind = Literal["built on", "requires", "derived from"]


@dataclass(frozen=True)
class Node:
    """A base or a release. `text` are its lines, the name first; `more` explains it in full.

    A skill is `named` in skillpm.toml or `required` by another skill; an `ancestor` is a release
    that is not installed. All text is untrusted.
    """

    key: str
    kind: NodeKind
    text: tuple[str, str]
    more: str


@dataclass(frozen=True)
class Edge:
    """A relation: `upper` is built on, requires or is derived from `lower`."""

    lower: str
    upper: str
    kind: EdgeKind
    more: str


@dataclass(frozen=True)
class Graph:
    """Nodes with distinct keys, and edges between them. Cycles of `requires` are allowed."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
