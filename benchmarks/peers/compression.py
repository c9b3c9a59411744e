"""Figures 1 to 3 of lossy packs: the gain that each method keeps, against its bytes.

`python -m benchmarks.peers.compression [--only 'lm-*'] [--methods auto,recipe] [--keep99]`. Every
fine-tune × method × budget is one row, appended to a file when it is measured, so an interrupted
run continues; `--report` only prints. Budgets are multiples of the recipe's bytes, in its smallest
form (see `benchmarks.peers.files`); the size of `auto` is the whole `.skillpack`. `recipe-alpha` is
the recipe with the best α for the fine-tune. A row takes ten to sixty seconds, of `recipe-alpha` a
few minutes; missing fine-tunes are trained first (see `benchmarks.finetunes`).
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.finetunes.catalogue import finetunes
from benchmarks.peers import METHODS, Task
from benchmarks.peers.auto import OURS
from benchmarks.peers.report import WANTED, compared, draw, duel, enough
from benchmarks.peers.results import Results, Row
from benchmarks.tools.table import add_output, publish

if TYPE_CHECKING:
    from benchmarks.finetunes.catalogue import FineTune
    from benchmarks.finetunes.measure import Evaluator
    from benchmarks.peers import Candidate

ALL = {**METHODS, **OURS}
OWN = frozenset({"recipe", "delta-come", "bitdelta", "bitdelta-distilled"})
"""Methods with a fixed size, which are measured at that size."""
FIXED = frozenset({"bitdelta", "bitdelta-distilled"})
"""Methods that support only their fixed size."""
KEPT = {"causal": "gain_kept", "encoder": "distance_closed"}
STEPS = 5
CLOSE = 0.03
"""A search for 99 % ends when its bracket is this narrow, as a share of the bytes."""


class Bench:
    """One fine-tune, its evaluator, and its measured rows."""

    def __init__(self, tune: FineTune, results: Results, folder: Path) -> None:
        self.tune = tune
        self.results = results
        self.digest = _sha256(tune.tuned / "model.safetensors")
        seed = tune.seed
        self.task = Task(tune.base, tune.tuned, tune.calibration, tune.kind, folder, seed)
        self.dense = 2 * sum(delta.size for delta in self.task.deltas.values())
        self._evaluator: Evaluator | None = None

    def row(self, method: str, budget: str, size: int | None) -> Row | None:
        """A row from the file or measured now; None if the method does not support the budget."""
        known = self.results.find((self.tune.name, self.digest, method, budget))
        if known is not None:
            return known
        try:
            candidate = ALL[method](self.task, size)
        except (ValueError, SystemExit) as problem:
            print(f"{self.tune.name} {method} {budget}: not done: {problem}", file=sys.stderr)
            return None
        found = self._measured(method, budget, candidate)
        print(
            f"{found.finetune:18} {method:18} {budget:9} {found.bytes / 1e3:9.1f} kB "
            f"{found.kept:8.3%} {found.seconds:5.0f} s",
            file=sys.stderr,
            flush=True,
        )
        return self.results.add(found)

    def _measured(self, method: str, budget: str, candidate: Candidate) -> Row:
        if self._evaluator is None:
            self._evaluator = self.tune.evaluator()
        detail = self._evaluator.measure(candidate.state).figures()
        return Row(
            finetune=self.tune.name,
            digest=self.digest,
            kind=self.tune.kind,
            seed=self.tune.seed,
            method=method,
            budget=budget,
            bytes=candidate.bytes,
            dense=self.dense,
            kept=detail[KEPT[self.tune.kind]],
            seconds=candidate.seconds,
            detail=detail,
            settings=candidate.settings,
        )

    def compare(self, methods: list[str], budgets: list[str]) -> None:
        """Measure every method at every budget; the recipe first, because it sets the budgets."""
        recipe = self.row("recipe", "own", None)
        assert recipe is not None
        for method in methods:
            if method in OWN:
                self.row(method, "own", None)
            for budget in budgets:
                if method not in FIXED and (method, budget) != ("recipe", "1x"):
                    self.row(method, budget, int(recipe.bytes * float(budget.removesuffix("x"))))

    def keep99(self, method: str) -> None:
        """Search for the fewest bytes that keep 99 %, starting from all measured rows."""
        if method in FIXED:
            return
        for step in range(1, STEPS + 1):
            rows = [r for r in self.results.of({self.tune.name: self.digest}) if r.method == method]
            size = next_size(rows, self.dense)
            if size is None or self.row(method, f"keep99-{step}", size) is None:
                return


def next_size(rows: list[Row], dense: int) -> int | None:
    """The next size to try, or None if the search is finished.

    It is between the largest file that kept too little and the smallest that kept enough, by
    interpolation of the logarithm of the loss.
    """
    short = [row for row in rows if row.kept < WANTED]
    fine = [row for row in rows if row.kept >= WANTED]
    if not rows:
        return dense // 10
    if not fine:
        largest = max(row.bytes for row in short)
        return min(2 * largest, dense) if largest < dense else None
    least = min(fine, key=lambda row: row.bytes)
    below = [row for row in short if row.bytes < least.bytes]
    if not below:
        return least.bytes // 2
    most = max(below, key=lambda row: row.bytes)
    if least.bytes - most.bytes <= CLOSE * least.bytes:
        return None
    lost = [math.log(max(1e-9, 1 - kept)) for kept in (most.kept, least.kept, WANTED)]
    share = min(0.9, max(0.1, (lost[0] - lost[2]) / (lost[0] - lost[1])))
    size: float = most.bytes * (least.bytes / most.bytes) ** share
    return round(size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="*", help="names of fine-tunes, such as `lm-*-0`")
    parser.add_argument("--methods", default=",".join(ALL), help="methods, separated by commas")
    parser.add_argument("--budgets", default="1x,0.5x", help="multiples of the recipe's bytes")
    parser.add_argument("--keep99", action="store_true", help="also search for 99 %% of the gain")
    parser.add_argument("--again", action="store_true", help="measure existing rows again")
    parser.add_argument("--report", action="store_true", help="print tables without measuring")
    parser.add_argument("--cache", type=Path, default=Path("benchmarks/.cache"))
    parser.add_argument("--plot", type=Path, default=Path("docs/images/compression.png"))
    add_output(parser)
    return parser.parse_args()


def measure(arguments: argparse.Namespace, chosen: list[FineTune], results: Results) -> None:
    """Measure all requested rows that are missing."""
    methods = arguments.methods.split(",")
    if unknown := sorted(set(methods) - ALL.keys()):
        sys.exit(f"no such method: {', '.join(unknown)}; there are {', '.join(ALL)}")
    for tune in chosen:
        with tempfile.TemporaryDirectory(prefix="skillpm-bench-") as name:
            bench = Bench(tune, results, Path(name))
            if arguments.again:
                results.drop(tune.name, methods)
            bench.compare(methods, arguments.budgets.split(","))
            for method in methods if arguments.keep99 else ():
                bench.keep99(method)


def main() -> None:
    arguments = _arguments()
    results = Results(arguments.cache / "compression.jsonl")
    every = finetunes(arguments.cache / "finetunes")
    chosen = [tune for tune in every if fnmatch(tune.name, arguments.only)]
    if not chosen:
        sys.exit(f"no fine-tune is called `{arguments.only}`: {', '.join(t.name for t in every)}")
    if not arguments.report:
        measure(arguments, chosen, results)
    rows = results.of({tune.name: _sha256(tune.tuned / "model.safetensors") for tune in chosen})
    methods = [method for method in ALL if any(row.method == method for row in rows)]
    for table in (*compared(rows, methods), duel(rows), *enough(rows, methods)):
        publish(table, arguments.append)
    draw(rows, methods, arguments.plot)


if __name__ == "__main__":
    main()
