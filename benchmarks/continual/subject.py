"""The interface of a model that learns tasks: batches, a loss, and losses on held-out data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import torch

    from benchmarks.continual.settings import Stage

GENERAL = "general"


@dataclass(frozen=True, slots=True)
class Answers:
    """Results of each held-out query of one task: its score, higher is better, and its nats."""

    scores: list[float]
    losses: list[float]


class Subject(Protocol):
    """A base, its tasks in learning order, and how to learn one."""

    name: str
    tasks: tuple[str, ...]
    stage: Stage
    base: Path

    def fingerprint(self) -> dict[str, Any]:
        """A digest of base and data, for the records."""
        ...

    def load(self, folder: Path) -> Any:
        """Load a model directory in float32."""
        ...

    def save(self, model: Any, folder: Path) -> None:
        """Write a model directory in the base's storage dtype."""
        ...

    def batches(self, task: str, seed: int) -> list[Any]:
        """The batches of one stage, the same for every method."""
        ...

    def rehearsed(self, batches: list[Any], earlier: Sequence[str], seed: int) -> list[Any]:
        """The same batches with a share of earlier tasks' batches mixed in."""
        ...

    def loss(self, model: Any, batch: Any) -> torch.Tensor:
        """The training loss of a batch."""
        ...

    def likelihoods(self, model: Any, task: str, count: int) -> Iterator[torch.Tensor]:
        """Mean losses of single examples of a task, one by one, for the Fisher information."""
        ...

    def answers(self, model: Any, task: str) -> Answers:
        """One pass over a task's held-out queries; `general` is the base's own kind of text."""
        ...

    def examples(self, task: str) -> Path:
        """Texts of a task that are on no other side, for its router signature."""
        ...

    def background(self) -> Path:
        """Texts of the base's own kind, for the router; none is a held-out query."""
        ...

    def queries(self, task: str) -> list[str]:
        """The part of each held-out query that the router may read."""
        ...

    def run(self, model: Any, text: str) -> None:
        """Answer one query."""
        ...
