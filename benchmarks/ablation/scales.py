"""What scales of lossy packs gain if they are refined on text, at equal bytes.

`python -m benchmarks.ablation.scales PACK… [--tune dev] [--by tensor|rank|row] [--cache DIR]`.
Decodes a pack of a tune, and multiplies the delta of every matrix by a factor: 1, the factor of
least weighted squares, and a factor that Adam refines on the calibration text for the least
KL(tuned ‖ candidate). `--by rank` refines a factor for each rank of `svd-ec`, `--by row` one for
each row of every matrix, whose bytes are not counted. Prints KL and gain kept on held-out
documents, as `benchmarks.llm.fidelity` does. Takes several minutes of processor time for a pack of
SmolLM2-135M.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from benchmarks.ablation.factored_delta import By, ScaledTensor, decoded
from benchmarks.ablation.refinement import ROWS, Refinement, Teacher, least_squares, text_rows
from benchmarks.llm import tunes
from benchmarks.llm.documents import DocumentEvaluator, first_documents
from benchmarks.llm.places import CACHE, WEIGHTS, calibration, model
from benchmarks.llm.settings import TUNINGS
from benchmarks.tools.table import Table, add_output, publish
from skillpm.archive.reader import open_pack
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.auto.decoded import tensors_of
from skillpm.delta.auto.weights import Unweighted
from skillpm.flows.packs.composition import opened

if TYPE_CHECKING:
    from benchmarks.llm.documents import DocumentsMeasured

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Experiment:
    """The base, one tune with its held-out documents, and rows of text to refine on."""

    base: Path
    tuned: Path
    evaluator: DocumentEvaluator
    rows: torch.Tensor
    rate: float
    by: By

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Experiment:
        """Load the models and the documents."""
        cache, task = arguments.cache, TUNINGS[arguments.tune].task
        base, tuned = model(cache, "base"), model(cache, arguments.tune)
        chosen = first_documents(
            tunes.rows(cache, task, "held_out"),
            documents=arguments.documents,
            tokens=arguments.tokens,
        )
        tokenizer = AutoTokenizer.from_pretrained(base)
        text = calibration(cache, task)
        rows = text_rows(tokenizer, text, ROWS * arguments.steps, arguments.tokens)
        evaluator = DocumentEvaluator(base=base, tuned=tuned, rows=chosen)
        return cls(base, tuned, evaluator, rows, arguments.rate, arguments.by)

    def table(self, path: Path) -> Table:
        """All candidates of one pack."""
        base = open_checkpoint(self.base)
        (pack,) = opened([open_pack(path)])
        found = dict(decoded(pack, base, load_file(self.base / WEIGHTS), self.by))
        state = tensors_of(base, base.specs, pack)
        made = Table(
            f"{path.stem}: {len(found)} matrices, a factor by {self.by}",
            ("factors", "of 90 %", "CPU s", "KL", "interval", "gain kept", "interval"),
        )
        measured = self.evaluator.measure(state)
        made.row("1", "1.000", "0", *cells(measured))
        print(*made.rows[-1], file=sys.stderr, flush=True)
        for name, choose in (("refined", self.refined), ("least squares", self.squares)):
            started = time.process_time()
            factors = choose(found, state)
            seconds = f"{time.process_time() - started:.0f}"
            scaled = {tensor: one.weights(factors[tensor]) for tensor, one in found.items()}
            measured = self.evaluator.measure({**state, **scaled})
            made.row(name, spread(factors), seconds, *cells(measured))
            print(*made.rows[-1], file=sys.stderr, flush=True)
        return made

    def squares(self, found: dict[str, ScaledTensor], _state: Tensors) -> Tensors:
        """The factors of least squares, under the weights that `auto` uses without data."""
        tuned = load_file(self.tuned / WEIGHTS)
        made = {}
        for name, one in found.items():
            height, width = one.base.shape
            weights = Unweighted().metric(name, (height, width)).rows.diagonal
            value = least_squares(one, tuned[name], weights)
            made[name] = torch.full((one.delta.count, 1), value)
        return made

    def refined(self, found: dict[str, ScaledTensor], state: Tensors) -> Tensors:
        """The factors refined on text."""
        teacher = Teacher.of(self.evaluator.loaded(self.tuned), self.rows)
        refinement = Refinement(found, self.evaluator.loaded(state))
        losses = refinement.fit(teacher, self.rate)
        print("KL of each step:", *(f"{loss:.2e}" for loss in losses), file=sys.stderr, flush=True)
        return refinement.factors


def spread(factors: Tensors) -> str:
    """The quantiles of factors of tensors between which 90 % of them are."""
    values = torch.cat([one.reshape(-1) for one in factors.values()])
    low, high = values.quantile(torch.tensor([0.05, 0.95])).tolist()
    return f"{low:.3f} to {high:.3f}"


def cells(found: DocumentsMeasured) -> tuple[str, ...]:
    """KL and gain kept, each with its interval."""
    return (
        f"{found.kl:.3e}",
        f"{found.kl_low:.2e} to {found.kl_high:.2e}",
        f"{found.gain_kept:.1%}",
        f"{found.gain_low:.1%} to {found.gain_high:.1%}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation.scales", description=__doc__
    )
    parser.add_argument("packs", nargs="+", type=Path)
    parser.add_argument("--tune", choices=TUNINGS, default="dev")
    parser.add_argument("--by", choices=("tensor", "rank", "row"), default="rank")
    parser.add_argument("--steps", type=int, default=10, help=f"of {ROWS} rows of text")
    parser.add_argument("--rate", type=float, default=0.03, help="Adam's first learning rate")
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=256, help="of each document and row of text")
    parser.add_argument("--cache", type=Path, default=CACHE)
    add_output(parser)
    arguments = parser.parse_args()
    experiment = Experiment.of(arguments)
    for path in arguments.packs:
        publish(experiment.table(path), arguments.append)


if __name__ == "__main__":
    main()
