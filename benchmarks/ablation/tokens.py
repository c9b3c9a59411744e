"""What the rows of a token embedding are worth, without data.

`python -m benchmarks.ablation.tokens BASE TUNED TEXT [--steps 12,13]`. All matrices of a causal
language model's fine-tune are coded by `grid` with one step; the embedding is left out, coded with
the same step, or with weights by the frequency of tokens. Prints bytes and KL(tuned ‖ decoded) on
the first documents of TEXT (JSON lines). Vectors are left as in the base. Takes ten minutes on
SmolLM2-135M.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.ablation.matrices import Matrix, Size, matrices
from benchmarks.tools.table import Table, add_output, publish
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.auto.weights import EMBEDDING_WEIGHT, token_weights
from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.delta.tensors.rounding import to_float64

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCUMENTS, TOKENS = 5, 256


@dataclass
class Probe:
    """A running model whose matrices are replaced, and the fine-tune's log probabilities."""

    model: torch.nn.Module
    rows: torch.Tensor
    expected: torch.Tensor

    @classmethod
    def of(cls, base: Path, text: Path, found: list[Matrix]) -> Probe:
        """Load the base, and run the fine-tune of its matrices on the text."""
        tokenizer = AutoTokenizer.from_pretrained(base)
        lines = text.read_text(encoding="utf-8").splitlines()[:DOCUMENTS]
        ids = [tokenizer(json.loads(line)["text"])["input_ids"][:TOKENS] for line in lines]
        rows = torch.tensor([each for each in ids if len(each) == TOKENS])
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        probe = cls(model, rows, torch.zeros(0))
        probe.expected = probe.predict([(matrix, matrix.lossless()) for matrix in found])
        return probe

    @torch.no_grad()
    def predict(self, decoded: Iterable[tuple[Matrix, Size]]) -> torch.Tensor:
        """Log probabilities with decoded matrices."""
        own = dict(self.model.named_parameters())
        for matrix, size in decoded:
            values = to_float64(size.words, matrix.spec.dtype).reshape(matrix.spec.shape)
            own[matrix.spec.name].copy_(torch.from_numpy(values))
        return torch.log_softmax(self.model(self.rows).logits, -1)

    def divergence(self, decoded: Iterable[tuple[Matrix, Size]]) -> float:
        """KL(tuned ‖ decoded), the mean over tokens, in nats."""
        found = self.predict(decoded)
        return float((self.expected.exp() * (self.expected - found)).sum(-1).mean())


def embeddings(matrix: Matrix, step: float) -> dict[str, Size]:
    """The ways to code the embedding, by name."""
    weights = token_weights(matrix.spec.shape[0])
    flat = torch.full((1,), EMBEDDING_WEIGHT).expand(matrix.spec.shape[0])
    return {
        "left out": Size(0, matrix.energy, matrix.reference),
        "weight 1": matrix.grid(step),
        f"weight {EMBEDDING_WEIGHT}": matrix.grid(step, rows=flat),
        f"by token, mean {EMBEDDING_WEIGHT}": matrix.grid(step, rows=weights),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", default="12,13", help="octaves below 1")
    add_output(parser)
    arguments = parser.parse_args()
    base, tuned = open_checkpoint(arguments.base), open_checkpoint(arguments.tuned)
    found = list(matrices(base, tuned))
    embedding = next(each for each in found if kind_of(each.spec.name) == "embedding")
    probe = Probe.of(arguments.base, arguments.text, found)
    table = Table("The token embedding", ("embedding", "step", "its bytes", "all bytes", "KL"))
    for octave in arguments.steps.split(","):
        step = 2.0 ** -int(octave)
        others = [(each, each.grid(step)) for each in found if each is not embedding]
        rest = sum(size.size for _, size in others)
        for name, size in embeddings(embedding, step).items():
            kl = probe.divergence([*others, (embedding, size)])
            all_bytes = f"{(rest + size.size) / 1e6:.3f} MB"
            table.row(name, f"2^-{octave}", f"{size.size / 1e6:.3f} MB", all_bytes, f"{kl:.2e}")
    publish(table, arguments.append)


if __name__ == "__main__":
    main()
