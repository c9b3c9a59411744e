"""What the peers share: vectors are stored exactly, embeddings and head by magnitude."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.task import Task, role_of
from skillpm.delta.codecs import topk
from skillpm.delta.coding.payload import PayloadWriter, Record
from skillpm.delta.encoding.schemes import Lossless
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.streams import Chunk
from skillpm.spec.dtypes import TensorSpec

Encode = Callable[[TensorSpec, Floats, PayloadWriter], Record]
"""A function that writes one flat delta."""


@dataclass(frozen=True)
class Peer:
    """A scheme with the project's interface, so that every payload writer accepts it.

    `linear` and `embedding` encode the deltas of matrices; norms, biases and integers are exact.
    """

    name: str
    task: Task
    linear: Encode
    embedding: Encode
    settings: dict[str, Any] = field(default_factory=dict)

    def encoding_key(self, tensor: str) -> None:
        """Not known: layers are never reused between runs."""

    def encode(self, pair: Pair, chunks: Iterable[Chunk], writer: PayloadWriter) -> Record:
        """Write one tensor according to its role."""
        spec = self.task.before.specs[pair.tensor]
        role = role_of(spec)
        if role == "exact":
            return Lossless().encode(pair, chunks, writer)
        encode = self.embedding if role == "embedding" else self.linear
        return encode(spec, self.task.deltas[spec.name], writer)


def keep_share(alpha: float) -> Encode:
    """Magnitude pruning: the top share `alpha` of a tensor's deltas, by the project's `topk`."""

    def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
        return topk.encode(spec, delta, round(alpha * delta.size), writer)

    return encode
