"""Leaves and roots: the identities of tensors and of models (contract, section 2)."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec

LEAF_TAG = b"skillpm.leaf.v1\0"


class LeafHasher:
    """Computes the leaf of a tensor from its raw little-endian bytes, given in pieces."""

    def __init__(self, dtype: str, shape: tuple[int, ...]) -> None:
        compact = f"[{','.join(map(str, shape))}]"
        self._hash = hashlib.sha256(LEAF_TAG + dtype.encode() + b"\0" + compact.encode() + b"\0")

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add the next bytes of the tensor."""
        self._hash.update(data)

    def digest(self) -> Digest:
        """The leaf of all bytes added so far."""
        return Digest.from_bytes(self._hash.digest())


def leaf_of(spec: TensorSpec, data: bytes) -> Digest:
    """The leaf of a tensor with these bytes."""
    return leaf_of_chunks(spec, (data,))


def leaf_of_chunks(spec: TensorSpec, chunks: Iterable[bytes]) -> Digest:
    """The leaf of a tensor whose bytes are given in pieces, in order."""
    hasher = LeafHasher(spec.dtype, spec.shape)
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.digest()


def merkle_root(leaves: Mapping[str, Digest]) -> Digest:
    """The RFC 6962 tree hash over the entries `name` NUL `leaf`, sorted by name as bytes."""
    entries = sorted((name.encode(), leaf.raw) for name, leaf in leaves.items())
    stack: list[tuple[int, bytes]] = []
    for name, leaf in entries:
        node = (0, hashlib.sha256(b"\x00" + name + b"\0" + leaf).digest())
        while stack and stack[-1][0] == node[0]:
            node = (node[0] + 1, _parent(stack.pop()[1], node[1]))
        stack.append(node)
    if not stack:
        return Digest.of(b"")
    top = stack.pop()[1]
    while stack:
        top = _parent(stack.pop()[1], top)
    return Digest.from_bytes(top)


def _parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Identity:
    """The identity of a model: the specs and leaves of its tensors, and its root."""

    specs: Mapping[str, TensorSpec]
    leaves: Mapping[str, Digest]
    root: Digest = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", merkle_root(self.leaves))

    @property
    def parameters(self) -> int:
        """The number of elements of all tensors. Tied weights that are stored twice count twice."""
        return sum(spec.elements for spec in self.specs.values())

    @property
    def dtype(self) -> str:
        """The dtype with the most parameters; the first by name if there is a tie."""
        elements: dict[str, int] = {}
        for spec in self.specs.values():
            elements[spec.dtype] = elements.get(spec.dtype, 0) + spec.elements
        return min(elements, key=lambda name: (-elements[name], name))
