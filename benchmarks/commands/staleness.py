"""Staleness of the resolver's solutions, compared with the least possible staleness.

`python -m benchmarks.commands.staleness [--graphs 5000] [--seed 1] [--workers 2]`

The graphs are random, with 4 to 10 skills of up to 6 releases each and no lock. The staleness of a
solution is the number of newer usable releases, summed over its skills; skills requested by name
come first. A MaxSAT solver (RC2 of python-sat) finds the minimum in that order, and the minimal sum
with equal weights. The rows are the solution of the search alone, and after the improvement step.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations
from multiprocessing import Pool
from pathlib import Path
from typing import TYPE_CHECKING

from pysat.examples.rc2 import RC2
from pysat.formula import WCNF

sys.path[:0] = [str(Path(__file__).parents[2] / "tests" / "resolver")]

from resolver_worlds import Shop, candidates, random_world, together  # noqa: E402 - the judge

from benchmarks.tools.table import Table, add_output, publish  # noqa: E402
from skillpm.errors import SkillpmError  # noqa: E402
from skillpm.resolver.closure import Reader  # noqa: E402
from skillpm.resolver.deadline import NO_DEADLINE  # noqa: E402
from skillpm.resolver.improve import improve, staleness  # noqa: E402
from skillpm.resolver.rules import Rules  # noqa: E402
from skillpm.resolver.search import Proof, search  # noqa: E402

if TYPE_CHECKING:
    from skillpm.resolver.question import Question
    from skillpm.spec.release import Release
    from skillpm.spec.requirements import Requirement

SIZES = (4, 6, 8, 10)
NAMED = 1000
"""Weight of a skill that is requested by name: more than all other skills of a graph together."""


def optimum(question: Question, releases: list[Release], *, named: int) -> int:
    """The least weighted staleness, where skills requested by name weigh `named` more."""
    pool = candidates(question, releases)
    number = {id(release): place for place, release in enumerate(pool, start=1)}
    arguments = {wanted.requirement.skill for wanted in question.wanted}

    def admitted(requirement: Requirement) -> list[int]:
        return [number[id(r)] for r in pool if requirement.admits(r.skill, r.version)]

    formula = WCNF()
    for wanted in question.wanted:
        formula.append(admitted(wanted.requirement))
    for release in pool:
        for requirement in release.requires:
            formula.append([-number[id(release)], *admitted(requirement)])
        newer = sum(r.skill == release.skill and r.version > release.version for r in pool)
        if newer:
            weight = newer * (1 + named * (release.skill in arguments))
            formula.append([-number[id(release)]], weight=weight)
    for first, second in combinations(pool, 2):
        if not together(question, first, second):
            formula.append([-number[id(first)], -number[id(second)]])
    with RC2(formula) as solver:
        solver.compute()
        return int(solver.cost)


def judge(seed: int) -> Counter[str]:
    """The staleness of one graph's solutions: search alone, improved, and minimal."""
    question, releases = random_world(seed, skills=SIZES[seed % len(SIZES)])
    question = replace(question, locked={}, lowest=False)
    try:
        rules = Rules(question, Reader(question, Shop(releases), NO_DEADLINE).read())
    except SkillpmError:
        return Counter()
    settled = search(rules, NO_DEADLINE)
    if isinstance(settled, Proof):
        return Counter()
    least = optimum(question, releases, named=NAMED)
    counts = Counter({"graphs": 1, "least": least % NAMED})
    counts["least sum"] = optimum(question, releases, named=0)
    for name, answer in (("settled", settled), ("traded", improve(rules, settled, NO_DEADLINE))):
        named, total = staleness(rules, answer)
        counts[name] += total
        counts[f"{name} is least"] += named * NAMED + total == least
        counts[f"{name} is least sum"] += total == counts["least sum"]
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    add_output(parser)
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    start = arguments.seed * 10**7
    with Pool(arguments.workers) as pool:
        for counts in pool.imap_unordered(judge, range(start, start + 4 * arguments.graphs), 50):
            if total["graphs"] < arguments.graphs:
                total.update(counts)
    graphs = total["graphs"]
    table = Table(f"{graphs:,} random graphs with an answer", (
        "answer", "staleness a graph", "least, by name first", "least sum"))  # fmt: skip
    for name in ("settled", "traded"):
        shares = [f"{100 * total[f'{name} {what}'] / graphs:.2f} %" for what in ("is least",
                  "is least sum")]  # fmt: skip
        table.row(name, f"{total[name] / graphs:.3f}", *shares)
    table.row("MaxSAT, by name first", f"{total['least'] / graphs:.3f}", "", "")
    table.row("MaxSAT, least sum", f"{total['least sum'] / graphs:.3f}", "", "")
    publish(table, arguments.append)


if __name__ == "__main__":
    main()
