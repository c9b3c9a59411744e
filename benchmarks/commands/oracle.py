"""Issue 4, figure 1: the resolver against a SAT solver on small random graphs.

`python -m benchmarks.commands.oracle [--graphs 20000] [--seed 1] [--workers 2]`

The graphs have 2 to 8 skills with up to 11 releases each, with prereleases, yanks, pairwise
conflicts, up to three bases, locks and accepted footprints. CaDiCaL (python-sat) decides whether a
solution exists, and every solution is checked against the rules of the contract. resolvelib solves
the same graphs for comparison. The exit code is 1 if our resolver disagrees once or returns one
invalid solution.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from multiprocessing import Pool
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:0] = [str(Path(__file__).parents[2] / "tests" / "resolver")]

from resolver_worlds import Oracle, Shop, problems, random_world  # noqa: E402 - the tests' judge

from benchmarks.commands.resolvers import FAILURES, ask_resolvelib  # noqa: E402
from benchmarks.tools.table import Table, add_output, publish  # noqa: E402
from skillpm.errors import SkillpmError  # noqa: E402
from skillpm.resolver.deadline import Deadline  # noqa: E402
from skillpm.resolver.errors import GaveUpError  # noqa: E402
from skillpm.resolver.solve import solve  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skillpm.resolver.question import Question
    from skillpm.spec.names import SkillName
    from skillpm.spec.release import Release

SECONDS = 10
SIZES = (2, 3, 4, 5, 6, 8)
PEERS = ("skillpm", "resolvelib")


def judge(seed: int) -> Counter[str]:
    """The verdicts of both resolvers on one graph."""
    question, releases = random_world(seed, skills=SIZES[seed % len(SIZES)])
    satisfiable = Oracle(question, releases).satisfiable()
    counts = Counter({"graphs": 1, "satisfiable": int(satisfiable)})
    for peer, ask in (("skillpm", ask_ours), ("resolvelib", ask_theirs)):
        started = time.perf_counter_ns()
        try:
            answer = ask(question, releases)
        except (GaveUpError, *FAILURES):
            counts[f"{peer} gave up"] += 1
            continue
        finally:
            counts[f"{peer} ns"] += time.perf_counter_ns() - started
        if answer is None:
            counts[f"{peer} false no"] += satisfiable
        elif list(problems(question, releases, answer)):
            counts[f"{peer} invalid"] += 1
        else:
            counts[f"{peer} false yes"] += not satisfiable
    return counts


def ask_ours(question: Question, releases: list[Release]) -> Mapping[SkillName, Release] | None:
    deadline = Deadline.starting(time.monotonic, SECONDS)
    try:
        return solve(question, Shop(releases), deadline).releases
    except GaveUpError:
        raise
    except SkillpmError:
        return None


def ask_theirs(question: Question, releases: list[Release]) -> Mapping[SkillName, Release] | None:
    return ask_resolvelib(question, releases, SECONDS)


def run(graphs: int, seed: int, workers: int) -> Counter[str]:
    """Count the verdicts over several graphs."""
    total: Counter[str] = Counter()
    seeds = range(seed * 10**7, seed * 10**7 + graphs)
    with Pool(workers) as pool:
        for counts in pool.imap_unordered(judge, seeds, chunksize=50):
            total.update(counts)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    add_output(parser)
    arguments = parser.parse_args()
    total = run(arguments.graphs, arguments.seed, arguments.workers)
    table = Table(f"{total['graphs']:,} random graphs, {total['satisfiable']:,} of them with an "
                  "answer", ("resolver", "false no", "false yes", "invalid answer", "gave up",
                             "ms a graph"))  # fmt: skip
    for peer in PEERS:
        found = [total[f"{peer} {what}"] for what in ("false no", "false yes", "invalid")]
        mean = total[f"{peer} ns"] / total["graphs"] / 1e6
        table.row(peer, *found, total[f"{peer} gave up"], f"{mean:.2f}")
    publish(table, arguments.append)
    wrong = ("false no", "false yes", "invalid", "gave up")
    sys.exit(1 if any(total[f"skillpm {what}"] for what in wrong) else 0)


if __name__ == "__main__":
    main()
