"""Issue 4, figure 2: resolution over registries of 100, 1,000 and 10,000 skills of 20 versions.

`python -m benchmarks.commands.resolution [--sizes 100,1000,10000] [--runs 3] [--limit 30]`

Each row is a fresh process that opens the embedded registry (SQLite), reads the releases that the
question needs, and resolves it. SQL queries are counted in SQLAlchemy; more queries than levels of
the graph are an error. resolvelib then solves the same releases, already read, in the same process
and with the same preferences. Both stop after `--limit` seconds; a case that reached the limit is
not run again.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, insert
from sqlalchemy.engine import Engine

from benchmarks.commands.resolvers import FAILURES, ask_resolvelib
from benchmarks.tools.running import run
from benchmarks.tools.table import Table, add_output, publish
from skillpm.resolver.deadline import Deadline
from skillpm.resolver.errors import GaveUpError
from skillpm.resolver.question import Question, RootRequirement
from skillpm.resolver.solve import solve
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm_registry import tables
from skillpm_registry.db.schema import open_database
from skillpm_registry.service import Registry, open_registry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from skillpm.spec.release import Release

VERSIONS = 20
ROOT = Digest.of(b"the base")
HEAD = ("graph", "skills", "wanted", "read", "answer", "queries", "read ms", "solve ms",
        "process ms", "resolvelib ms", "ratio")  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Dependencies per skill, share of releases with an upper bound, and the requested skills."""

    odds: tuple[int, ...]
    held: float
    wanted: tuple[int, ...]


KINDS = {
    "sparse": Kind((0, 0, 1, 1, 2, 3), 0.03, (10, 100, 1000)),
    "dense": Kind((1, 1, 2, 2, 3, 3), 0.01, (10, 100)),
}


def version_of(place: int) -> str:
    """The version number `place` of any skill: ten minor versions of 1, then ten of 2."""
    return f"{1 + place // 10}.{place % 10}.0"


def needs_of(kind: Kind, number: int, place: int, chance: random.Random) -> Iterator[str]:
    """Requirements of a release: up to three older skills, mostly at versions of the same time."""
    fixed = random.Random(number)  # all releases of a skill require the same skills
    for _ in range(fixed.choice(kind.odds) if number else 0):
        other = fixed.randrange(number)
        then = max(0, place - chance.randrange(4))
        major, minor, _ = version_of(then).split(".")
        held = chance.random() < kind.held and place > 12
        yield f"bench/s{other} {'<2' if held else f'^{major}.{minor}' if then else '*'}"


def releases_of(skills: int, kind: Kind = KINDS["sparse"]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The database rows of all releases, each with the skill's number."""
    chance = random.Random(skills)
    for number in range(skills):
        for place in range(VERSIONS):
            yanked = chance.random() < 0.02
            conflicts = (
                [f"bench/s{chance.randrange(skills)} <1.3"] if chance.random() < 0.01 else []
            )
            digest = Digest.of(f"{skills} {number} {place}".encode())
            yield number, {
                "version": version_of(place), "digest": str(digest), "size": 1, "base_root":
                str(ROOT), "base_name": "base", "architecture": "L", "requires":
                sorted(set(needs_of(kind, number, place, chance))), "conflicts":
                [c for c in conflicts if c.split()[0] != f"bench/s{number}"], "capabilities": [],
                "summary": "", "search_text": "", "license": "MIT", "scheme": "lossless",
                "payload_bytes": 1, "created": "2026-01-01T00:00:00Z",
                "published_at": datetime(2026, 1, 1, tzinfo=UTC), "yanked": yanked,
                "yanked_at": datetime(2026, 1, 2, tzinfo=UTC) if yanked else None,
            }  # fmt: skip


def make_registry(folder: Path, skills: int, kind: str = "sparse") -> None:
    """Create a registry with these releases, by bulk inserts instead of publishing packs."""
    open_registry(folder, create=True).close()
    database = open_database(folder, 60)
    rows = list(releases_of(skills, KINDS[kind]))
    with database.writing() as connection:
        names = [{"id": n + 1, "namespace": "bench", "name": f"s{n}"} for n in range(skills)]
        connection.execute(insert(tables.skill), names)
        blobs = [{"digest": row["digest"], "size": 1} for _, row in rows]
        connection.execute(insert(tables.blob), blobs)
        connection.execute(insert(tables.release), [{**r, "skill_id": n + 1} for n, r in rows])


@dataclass
class Timed:
    """The registry's catalogue, with the time spent on reading."""

    registry: Registry
    seconds: float = 0.0
    levels: int = 0
    read: dict[SkillName, Sequence[Release]] = field(default_factory=dict)

    def releases(self, skills: Collection[SkillName]) -> Mapping[SkillName, Sequence[Release]]:
        """The releases of the registry."""
        started = time.perf_counter()
        found = self.registry.releases(skills)
        self.seconds += time.perf_counter() - started
        self.read.update(found)
        self.levels += 1
        return found


def measure(folder: Path, skills: int, wanted: int, limit: int, since: float) -> dict[str, Any]:
    """Resolve one question in this process, which started at `since`."""
    queries: list[str] = []

    def note(*facts: Any) -> None:
        if str(facts[2]).startswith("SELECT"):
            queries.append(facts[2])

    catalogue = Timed(open_registry(folder))
    question = question_of(skills, wanted)
    event.listen(Engine, "before_cursor_execute", note)
    started = time.perf_counter()
    try:
        answer = solve(question, catalogue, Deadline.starting(time.monotonic, limit)).releases
    except GaveUpError:
        answer = {}
    solved = time.perf_counter() - started - catalogue.seconds
    ended = time.time() - since
    event.remove(Engine, "before_cursor_execute", note)
    known = [release for several in catalogue.read.values() for release in several]
    peer, found = ask_peer(question, known, limit)
    return {
        "read": len(catalogue.read), "answer": len(answer), "queries": len(queries),
        "levels": catalogue.levels, "reading": catalogue.seconds,
        "solving": solved if answer else None, "process": ended if answer else None,
        "peer": peer, "peer_answer": found,
    }  # fmt: skip


def question_of(skills: int, wanted: int) -> Question:
    chance = random.Random(7)
    numbers = sorted(chance.sample(range(skills), min(wanted, skills)))
    needs = (Requirement.parse(f"bench/s{number}") for number in numbers)
    return Question(tuple(RootRequirement(need, "the benchmark") for need in needs), base=ROOT)


def ask_peer(question: Question, known: list[Release], limit: int) -> tuple[float | None, int]:
    """Seconds that the peer took (None at the limit) and the size of its solution."""
    started = time.perf_counter()
    try:
        found = ask_resolvelib(question, known, limit)
    except FAILURES:
        return None, 0
    return time.perf_counter() - started, len(found or ())


def measured(folder: Path, skills: int, wanted: int, limit: int) -> dict[str, Any]:
    """Resolve one question in a fresh process."""
    asked = ("--skills", str(skills), "--wanted", str(wanted), "--limit", str(limit))
    module = (sys.executable, "-m", "benchmarks.commands.resolution", "--one", str(folder))
    found: dict[str, Any] = json.loads(run(*module, *asked, "--since", str(time.time())).out)
    if found["queries"] > found["levels"]:
        sys.exit(f"{found['queries']} queries for {found['levels']} levels")
    return found


def row_of(folder: Path, skills: int, wanted: int, runs: int, limit: int) -> tuple[object, ...]:
    found = [measured(folder, skills, wanted, limit)]
    one = found[0]
    while one["solving"] and one["peer"] and len(found) < runs:
        found.append(measured(folder, skills, wanted, limit))
    while one["solving"] and len(found) < runs:
        found.append({**measured(folder, skills, wanted, 1), "peer": None})
    times = [shown(found, key, limit) for key in ("reading", "solving", "process", "peer")]
    whole = one["solving"] and one["peer"]
    ratio = f"{median(found, 'peer') / median(found, 'solving'):.1f}" if whole else "-"
    return skills, wanted, one["read"], one["answer"], one["queries"], *times, ratio


def median(found: list[dict[str, Any]], key: str) -> float:
    """The median of several runs, in milliseconds."""
    return float(statistics.median(each[key] for each in found)) * 1e3


def shown(found: list[dict[str, Any]], key: str, limit: int) -> str:
    """A time for the table; a run that reached the limit is shown as longer than the limit."""
    if any(each[key] is None for each in found):
        return f"> {limit * 1000:,}"
    return f"{median(found, key):,.1f}"


def asked_for() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--limit", type=int, default=30, help="time limit of each resolver in seconds"
    )
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--skills", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--wanted", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--since", type=float, help=argparse.SUPPRESS)
    add_output(parser)
    return parser.parse_args()


def main() -> None:
    asked = asked_for()
    if asked.one:
        found = measure(asked.one, asked.skills, asked.wanted, asked.limit, asked.since)
        print(json.dumps(found))
        return
    table = Table(f"Resolution, cold from SQLite, {VERSIONS} versions a skill", HEAD)
    for name, kind in KINDS.items():
        for skills in map(int, asked.sizes.split(",")):
            with tempfile.TemporaryDirectory(prefix="skillpm-bench-") as folder:
                place = Path(folder) / "registry"
                make_registry(place, skills, name)
                for wanted in (each for each in kind.wanted if each <= skills):
                    table.row(name, *row_of(place, skills, wanted, asked.runs, asked.limit))
    publish(table, asked.append)


if __name__ == "__main__":
    main()
