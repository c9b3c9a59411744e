"""Figure 4: what packs and their neighbours keep of the fine-tunes, at equal bytes.

`python -m benchmarks.llm.fidelity [--only sql]… [--budgets 5%,2.5%] [--documents 32 --tokens 256]`.
For each fine-tune, method and budget: bytes of the file, KL(tuned ‖ candidate) and the share of the
loss gain kept on held-out documents, with 95 % bootstrap intervals over documents; for SQL also
answers right by execution. The size of a pack is that of the whole `.skillpack`, the others' that
of the leanest file (see `benchmarks.peers.files`). The last table gives the bytes that `auto` takes
for the KL of each other row; give `auto` several budgets. `--before PROGRAM` adds the `skillpm` of
another checkout. Missing fine-tunes are trained first. Rows are appended when they are measured, so
an interrupted run continues; rows of packs belong to skillpm's source. Takes 8 GB of memory, and an
hour and a half of processor time a fine-tune.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import AutoTokenizer

from benchmarks.finetunes.measure import tensors
from benchmarks.llm import answers, tunes
from benchmarks.llm.commands import has_fast_lane, make_models
from benchmarks.llm.documents import DocumentEvaluator, first_documents
from benchmarks.llm.packed import EXACT, FAST, LOSSLESS_BEFORE, OURS, before
from benchmarks.llm.places import CACHE, WEIGHTS, calibration, code_digest, digest_of, model
from benchmarks.llm.settings import REPORTED, TUNINGS
from benchmarks.llm.tables import REFERENCE, equal_kl, kept_table, lossless_table, needed
from benchmarks.peers import METHODS, Task
from benchmarks.peers.results import Results, Row
from benchmarks.peers.task import Budget, Candidate
from benchmarks.peers.ultradelta import POWERS
from benchmarks.tools.table import add_output, publish

if TYPE_CHECKING:
    from benchmarks.llm.settings import Tuning

Method = Callable[[Task, Budget | None], Candidate]
OWN = "own"
EXACT_NAMES = frozenset({*EXACT, LOSSLESS_BEFORE})
FIXED = EXACT_NAMES | {"bitdelta", "dqrelo"}
"""Methods of a size of their own: both store a sign of every weight."""
PACKS = frozenset({*OURS, "lossless", FAST})
CHOSEN = (*EXACT, *OURS, "recipe-alpha", "adamix", "lora", "impart", "magnitude-coded", "nnc",
          "delta-dct", *(f"ultradelta-{power}" for power in POWERS), "dare-coded", "dqrelo",
          "bitdelta")  # fmt: skip
SEQUENCES = 32
"""Calibration rows of 256 tokens for the recipe."""


@dataclass(frozen=True)
class Trial:
    """One fine-tune: its task for the peers, its evaluator, its rows."""

    cache: Path
    tuning: Tuning
    results: Results
    folder: Path
    documents: int
    tokens: int
    methods: dict[str, Method]
    answers: bool = True
    """Whether SQL answers are generated and checked."""

    @property
    def base(self) -> Path:
        """The base."""
        return model(self.cache, "base")

    @property
    def tuned(self) -> Path:
        """The fine-tune."""
        return model(self.cache, self.tuning.name)

    @cached_property
    def task(self) -> Task:
        """The fine-tune as the peers compress it."""
        text = calibration(self.cache, self.tuning.task)
        return Task(self.base, self.tuned, text, "causal", self.folder, sequences=SEQUENCES)

    @cached_property
    def dense(self) -> int:
        """The bytes of the delta in bf16: those of every tensor that differs."""
        return sum(self.task.before.specs[pair.tensor].nbytes for pair in self.task.pairs)

    @cached_property
    def evaluator(self) -> DocumentEvaluator:
        """The evaluator; the tuned model's states take one pass over the documents."""
        rows = tunes.rows(self.cache, self.tuning.task, "held_out")
        chosen = first_documents(rows, documents=self.documents, tokens=self.tokens)
        return DocumentEvaluator(base=self.base, tuned=self.tuned, rows=chosen)

    @cached_property
    def _inputs(self) -> str:
        return f"{digest_of(self.tuned / WEIGHTS)} {self.documents}x{self.tokens}"

    def _digest(self, method: str) -> str:
        """The inputs of a row: the weights, the documents and, for a pack, skillpm's source."""
        return f"{self._inputs} {code_digest()}" if method in PACKS else self._inputs

    def measure(self, budgets: list[str]) -> list[Row]:
        """All rows, in order: the ends, then every method at every budget that it has."""
        rows = [self._row(end, OWN, None) for end in ("base", "tuned")]
        for method in self.methods:
            for budget in [OWN] if method in FIXED else budgets:
                size = None if budget == OWN else self._bytes(budget)
                rows.append(self._row(method, budget, size))
        return [row for row in rows if row is not None]

    def _bytes(self, budget: str) -> int:
        return int(self.dense * float(budget.removesuffix("%")) / 100)

    def _row(self, method: str, budget: str, size: int | None) -> Row | None:
        """A row measured earlier or now; None if the method does not support the budget."""
        known = self.results.find((self.tuning.name, self._digest(method), method, budget))
        if known is not None:
            return known
        try:
            candidate = self._candidate(method, size)
        except (ValueError, SystemExit) as problem:
            print(f"{self.tuning.name} {method} {budget}: not done: {problem}", file=sys.stderr)
            return None
        return self.results.add(self._measured(method, budget, candidate))

    def _candidate(self, method: str, size: int | None) -> Candidate:
        if method in ("base", "tuned"):
            folder = self.base if method == "base" else self.tuned
            return Candidate(tensors(folder), 0, 0.0)
        return self.methods[method](self.task, size)

    def _measured(self, method: str, budget: str, candidate: Candidate) -> Row:
        known = {"base": self.evaluator.base, "tuned": self.evaluator.tuned}
        found = known.get(method) or self.evaluator.measure(candidate.state)
        detail = found.figures()
        if self.tuning.task == "sql" and self.answers:
            detail["score"] = self._score(candidate)
        clock = time.strftime("%H:%M:%S")
        print(
            f"{clock} {self.tuning.name} {method} {budget}: {candidate.bytes / 1e6:.2f} MB, "
            f"gain {detail['gain_kept']:.1%}, KL {detail['kl']:.2e}, {candidate.seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        return Row(
            finetune=self.tuning.name,
            digest=self._digest(method),
            kind="causal",
            seed=self.tuning.training.seed,
            method=method,
            budget=budget,
            bytes=candidate.bytes,
            dense=self.dense,
            kept=detail["gain_kept"],
            seconds=candidate.seconds,
            detail=detail,
            settings=candidate.settings,
        )

    def _score(self, candidate: Candidate) -> float:
        tokenizer = AutoTokenizer.from_pretrained(self.base)
        loaded = self.evaluator.loaded(candidate.state)
        return answers.score(loaded, tokenizer, answers.held_out_questions())


def methods_of(names: list[str], program: str | None) -> dict[str, Method]:
    """The methods by name; `program` is the `skillpm` of another checkout."""
    known: dict[str, Method] = {**EXACT, **OURS, **METHODS}
    if unknown := sorted(set(names) - known.keys()):
        sys.exit(f"no such method: {', '.join(unknown)}; there are {', '.join(known)}")
    if not has_fast_lane():
        names = [name for name in names if name != FAST]
    chosen = {name: known[name] for name in names}
    return {**chosen, **(before(program) if program else {})}


def show(name: str, rows: list[Row], budgets: list[str], append: str | None) -> None:
    """Print the tables of one fine-tune."""
    exact = [row for row in rows if row.method in EXACT_NAMES]
    if exact:
        publish(lossless_table(name, exact), append)
    rest = [row for row in rows if row.method not in EXACT_NAMES]
    publish(kept_table(name, rest), append)
    lossy = [row for row in rest if row.bytes]
    for budget in budgets:
        if any((row.method, row.budget) == (REFERENCE, budget) for row in rest):
            publish(equal_kl(name, lossy, budget), append)
    if any(row.method == REFERENCE for row in lossy):
        size = next((row.bytes for row in exact if row.method == "lossless"), None)
        publish(needed(name, lossy, size), append)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.llm.fidelity", description=__doc__)
    names = [tuning.name for tuning in REPORTED]
    parser.add_argument("--only", action="append", choices=TUNINGS, help="default: all reported")
    parser.add_argument("--methods", default=",".join(CHOSEN), help="separated by commas")
    parser.add_argument("--budgets", default="5%,2.5%,1%", help="shares of the dense delta")
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=256, help="tokens of each document")
    parser.add_argument("--no-answers", action="store_true", help="do not generate SQL answers")
    parser.add_argument("--before", metavar="PROGRAM", help="the `skillpm` of another checkout")
    parser.add_argument("--cache", type=Path, default=CACHE)
    add_output(parser)
    arguments = parser.parse_args()
    budgets = arguments.budgets.split(",")
    methods = methods_of(arguments.methods.split(","), arguments.before)
    chosen = arguments.only or names
    make_models(arguments.cache, *chosen)
    results = Results(arguments.cache / "fidelity.jsonl")
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="skillpm-bench-") as folder:
            trial = Trial(
                arguments.cache.absolute(),
                TUNINGS[name],
                results,
                Path(folder),
                arguments.documents,
                arguments.tokens,
                methods,
                answers=not arguments.no_answers,
            )
            show(name, trial.measure(budgets), budgets, arguments.append)


if __name__ == "__main__":
    main()
