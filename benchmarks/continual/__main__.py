"""Domains learnt in sequence: retention of fine-tuning, LoRA, EWC, replay, merges and packs.

`python -m benchmarks.continual [--train | --table] [--only SUBJECT] [--append FILE] [--plots DIR]`
takes an hour and a half on two cores and can be interrupted and restarted. Results of earlier runs
with the same data and settings are reused. `--train` only trains, `--table` only prints tables.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.continual import report, unseen
from benchmarks.continual.chains import Chains
from benchmarks.continual.evaluate import Evaluation
from benchmarks.continual.rows import rows
from benchmarks.continual.settings import SEEDS
from benchmarks.continual.train import prepare, train
from benchmarks.continual.unseen import Unseen
from benchmarks.finetunes.progress import Progress
from benchmarks.tools.table import add_output, publish

if TYPE_CHECKING:
    from benchmarks.continual.subject import Subject

CACHE = Path(__file__).parents[1] / ".cache" / "continual"


def show(cache: Path, subject: Subject, arguments: argparse.Namespace) -> None:
    """Evaluate what is missing, then print the tables of all trained seeds."""
    found = []
    for seed in SEEDS:
        chains = Chains(cache, subject, seed, progress=Progress)
        if chains.whole():
            found.append((chains, Evaluation(cache, subject, seed, chains)))
    again = [Unseen(cache, subject, seed, one) for seed, (one, _) in enumerate(found)]
    if not arguments.table:
        evaluate([evaluation for _, evaluation in found], again, small=subject.name == "lm")
    if not found:
        return
    lines = rows(cache, subject, found)
    publish(report.table(subject, lines), arguments.append)
    if (routed := report.routing(subject, [one for _, one in found])) is not None:
        publish(routed, arguments.append)
    print(report.regret(lines), flush=True)
    if all(one.routed for one in again):
        publish(unseen.table(again), arguments.append)
    if arguments.plots is not None:
        arguments.plots.mkdir(parents=True, exist_ok=True)
        report.plot(subject, lines, arguments.plots / f"continual-{subject.name}.png")


def evaluate(found: list[Evaluation], again: list[Unseen], *, small: bool) -> None:
    """Evaluate what is missing, the slowest parts last."""
    for evaluation in found:
        evaluation.run()
    for unseen_evaluation in again:
        unseen_evaluation.run()
    for evaluation in found:
        evaluation.run_more(small=small)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's choice)")
    parser.add_argument("--train", action="store_true", help="only train")
    parser.add_argument("--table", action="store_true", help="only print the existing results")
    parser.add_argument("--only", choices=("lm", "encoder"), help="only this subject")
    parser.add_argument("--plots", type=Path, help="write continual-lm.png and -encoder.png here")
    add_output(parser)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    cache = arguments.cache.resolve()
    if not arguments.table:
        train(cache, arguments.only)
    if not arguments.train:
        for subject in prepare(cache):
            if arguments.only in {None, subject.name}:
                show(cache, subject, arguments)


if __name__ == "__main__":
    main()
