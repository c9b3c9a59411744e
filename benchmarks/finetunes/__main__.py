"""Make all missing fine-tunes and print what each one gained.

`python -m benchmarks.finetunes [--cache DIR] [--only NAME]…` takes about an hour on two cores and
can be interrupted and restarted. Results of earlier runs with the same data and settings are
reused.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.finetunes import language, sentences
from benchmarks.finetunes.catalogue import CACHE, DOMAINS, finetunes, name, plan
from benchmarks.finetunes.measure import tensors
from benchmarks.finetunes.progress import Progress
from benchmarks.tools.table import Table, add_output, publish

if TYPE_CHECKING:
    from benchmarks.finetunes.catalogue import FineTune


def make(cache: Path, only: frozenset[str]) -> None:
    """Make the bases and texts, then the fine-tunes, the first seed of each before the others."""
    language.base(cache, advance=Progress("lm-base"))
    sentences.base(cache)
    for domain in DOMAINS:
        language.domain(cache, domain)
    for kind, task, seed in plan():
        label = name(kind, task, seed)
        if only and label not in only:
            continue
        if kind == "causal":
            made = language.tune(cache, task, seed, advance=Progress(label))
        else:
            made = sentences.tune(cache, task, seed, advance=Progress(label))
        state = "there already" if made.reused else f"made in {made.seconds:.0f} s"
        print(f"{label}: {state}", file=sys.stderr, flush=True)


def gains(found: list[FineTune]) -> Table:
    """Gain of each fine-tune on held-out texts, and the relative norm of its delta."""
    table = Table(
        "Fine-tunes: held-out loss in nats; the task's score for encoders",
        ("fine-tune", "base loss", "tuned loss", "base score", "tuned score", "‖Δ‖/‖w‖", "seconds"),
    )
    for one in found:
        evaluator = one.evaluator()
        base, tuned = evaluator.base.figures(), evaluator.tuned.figures()
        scores = [f"{end['score']:.3f}" if "score" in end else "" for end in (base, tuned)]
        losses = [f"{end['loss']:.3f}" for end in (base, tuned)]
        table.row(one.name, *losses, *scores, f"{moved(one):.3f}", f"{one.seconds:.0f}")
    return table


def moved(one: FineTune) -> float:
    """The norm of all differences over the norm of all the base's weights."""
    base, tuned = tensors(one.base), tensors(one.tuned)
    pairs = [(base[key].double(), tuned[key].double()) for key in tuned]
    change = sum(float((after - before).square().sum()) for before, after in pairs)
    return float((change / sum(float(before.square().sum()) for before, _ in pairs)) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's choice)")
    add_output(parser)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    make(arguments.cache, frozenset(arguments.only))
    publish(gains(finetunes(arguments.cache)), arguments.append)


if __name__ == "__main__":
    main()
