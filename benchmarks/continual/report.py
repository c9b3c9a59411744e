"""The table of one subject, the router's decisions, and the plot."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from benchmarks.continual import measures
from benchmarks.continual.packed import skill_of
from benchmarks.continual.rows import BASE, ORACLE, ROUTER
from benchmarks.continual.subject import GENERAL
from benchmarks.tools.table import Table, megabytes

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.continual.evaluate import Evaluation
    from benchmarks.continual.rows import Row
    from benchmarks.continual.subject import Subject

NOT_YET = "–"
SCORES = {
    "lm": "score = −nats a token",
    "encoder": "score = reciprocal rank; accuracy for `package`",
}


def table(subject: Subject, rows: list[Row]) -> Table:
    """Final score of each task, ACC, BWT, forgetting, general ability, bytes, milliseconds."""
    found = Table(
        f"Forget-free, {subject.name}: {SCORES[subject.name]}; mean (± deviation over seeds)",
        (
            *("row", "seeds", *subject.tasks, "ACC", "BWT", "forgetting", "general"),
            *("on disk", "ms a query"),
        ),
    )
    for row in rows:
        tasks = [f"{row.end(task):.3f}" for task in subject.tasks]
        learnt = [measures.backward_transfer, measures.forgetting]
        found.row(
            row.title,
            len(row.kept),
            *tasks,
            _spread(row.over_seeds(measures.accuracy)),
            *(_spread(row.over_seeds(one)) if row.staged else NOT_YET for one in learnt),
            f"{row.end(GENERAL):.3f}",
            _size(row),
            _pace(row),
        )
    return found


def _size(row: Row) -> str:
    known = [one for one in row.sizes if one]
    return megabytes(statistics.mean(known)) if known else NOT_YET


def _pace(row: Row) -> str:
    known = [one for one in row.seconds if one is not None]
    return f"{1000 * statistics.median(known):.1f}" if known else NOT_YET


def routing(subject: Subject, evaluations: list[Evaluation]) -> Table | None:
    """Shares of queries routed to their own skill, the base, another; None without data."""
    known = [one.result("routed") for one in evaluations]
    routed = [one[-1] for one in known if one is not None]
    if not routed:
        return None
    found = Table(
        f"The router, {subject.name}: shares of held-out queries, {len(routed)} seeds",
        ("queries of", "own skill", "base", "another skill"),
    )
    for task in (*subject.tasks, GENERAL):
        decided = [skill for one in routed for skill in one[task]]
        count = len(decided)
        own = decided.count(skill_of(task)) / count
        base = decided.count(None) / count
        shown = "" if task == GENERAL else f"{own:.3f}"
        found.row(task, shown, f"{base:.3f}", f"{1 - own - base:.3f}")
    return found


def regret(rows: list[Row]) -> str:
    """Differences of the router from the oracle, and of its general ability from the base's."""
    by_title = {row.title: row for row in rows}
    if ROUTER not in by_title:
        return ""
    oracle, router, base = (by_title[one] for one in (ORACLE, ROUTER, BASE))
    lost = (router.accuracy - oracle.accuracy) / abs(oracle.accuracy)
    general = (router.end(GENERAL) - base.end(GENERAL)) / abs(base.end(GENERAL))
    return (
        f"Learned router against the oracle: ACC {100 * lost:+.2f} %; general ability against the "
        f"base: {100 * general:+.2f} %.\n"
    )


def plot(subject: Subject, rows: list[Row], path: Path) -> None:
    """The mean score over the tasks learnt so far, after each stage; general ability at the end."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), width_ratios=(3, 2))
    count = len(subject.tasks)
    colours = plt.get_cmap("tab20")
    for number, row in enumerate(rows):
        stages = range(count) if row.staged else ()
        means = [_so_far(row, stage) for stage in stages]
        style: dict[str, Any] = {"color": colours(number % 20), "label": row.title}
        kind = "--" if "merged" in row.title else "-"
        left.plot([stage + 1 for stage in stages], means, kind, marker="o", markersize=3, **style)
        right.scatter(row.end(GENERAL), row.accuracy, **style)
    left.set_xticks(range(1, count + 1), [f"+ {task}" for task in subject.tasks])
    left.set_ylabel(SCORES[subject.name])
    left.set_title("mean over the tasks learnt so far")
    right.set_xlabel("general ability at the end")
    right.set_ylabel("ACC")
    right.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _so_far(row: Row, stage: int) -> float:
    each = [row.matrix(place)[stage][: stage + 1] for place in range(len(row.kept))]
    return statistics.mean(statistics.mean(one) for one in each)


def _spread(found: tuple[float, float]) -> str:
    return f"{found[0]:.3f} ± {found[1]:.3f}"
