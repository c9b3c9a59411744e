"""Figure 4: processor time of a search among 100,000 skills, on both databases.

`python -m benchmarks.registry.search [--skills 100000] [--postgres URL]`. The URL names an empty
database on this machine, such as `postgresql+psycopg://skillpm@127.0.0.1:5432/search`. Times
include those of PostgreSQL's process. The 99th percentile must be at most 50 ms.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text

from benchmarks.registry.own_postgres import add_postgres, database_url
from benchmarks.tools.table import Table, add_output, publish
from skillpm_registry import tables
from skillpm_registry.backend import Backend, BackendPlaces, open_backend
from skillpm_registry.catalog.actor import ANONYMOUS
from skillpm_registry.catalog.searchrows import NEW
from skillpm_registry.catalog.words import words_of_skill

LIMIT_MS = 50.0
HEADINGS = ("database", "search", "median, ms", "99 %, ms")
SYLLABLES = ("ka", "lo", "mi", "ter", "sa", "ven", "quo", "ri", "bel", "no", "dal", "fu", "gra")
COMMON = ("text", "model", "translation", "code", "summary", "language", "question", "math")
BASES = 50
START = datetime(2026, 1, 1, tzinfo=UTC)


def word(chance: random.Random) -> str:
    """A word: common ones are frequent, others rare."""
    if chance.random() < 0.3:
        return chance.choice(COMMON)
    return "".join(chance.choice(SYLLABLES) for _ in range(chance.randint(2, 4)))


def digest(*parts: object) -> str:
    """A digest that no other parts have."""
    return "sha256:" + hashlib.sha256(repr(parts).encode()).hexdigest()


def rows(count: int) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """The rows of `skill`, `release` and `search_row` of each skill."""
    chance = random.Random(4)
    for number in range(1, count + 1):
        namespace, name = f"n{number % 997}", f"{word(chance)}-{word(chance)}-{number}"
        summary = " ".join(word(chance) for _ in range(8))
        base, licence = digest("base", number % BASES), chance.choice(("MIT", "Apache-2.0"))
        capability, own = chance.choice(COMMON), digest(number)
        filters = [("base", base), ("license", licence), ("capability", capability)]
        release = {
            "id": number, "skill_id": number, "version": "1.0.0", "digest": own, "size": 1,
            "base_root": base, "base_name": "b", "architecture": "L", "requires": [],
            "conflicts": [], "capabilities": [capability], "summary": summary, "search_text": "",
            "license": licence, "scheme": "lossless", "payload_bytes": 1, "created": "",
            "published_at": START, "yanked": False, "yank_reason": "",
        }  # fmt: skip
        result = {
            "skill": f"{namespace}/{name}", "version": "1.0.0", "digest": own, "base": base,
            "summary": summary, "license": licence, "capabilities": [capability], "size": 1,
        }  # fmt: skip
        found = {
            "skill_id": number, "place": NEW + number, "release_id": number, "dependents": 0,
            "namespace": namespace, "name": name, "private": False, "result": result,
            "words": words_of_skill(name, [f"{namespace} {name}", summary, capability], filters),
            "published_at": START + timedelta(seconds=number),
        }  # fmt: skip
        yield {"id": number, "namespace": namespace, "name": name}, release, found


def fill(backend: Backend, count: int) -> None:
    """Insert the skills, and rebuild the index of search."""
    with backend.database.writing() as connection:
        names = [{"name": f"n{number}", "created_at": START} for number in range(997)]
        connection.execute(insert(tables.namespace), names)
        skills, releases, found = map(list, zip(*rows(count), strict=True))
        connection.execute(insert(tables.skill), skills)
        blobs = [{"digest": row["digest"], "size": 1} for row in releases]
        connection.execute(insert(tables.blob), blobs)
        connection.execute(insert(tables.release), releases)
        connection.execute(insert(tables.search_row), found)
    backend.search.rebuild(now=START)


def queries() -> dict[str, list[str]]:
    """Searches by kind."""
    chance = random.Random(5)
    rare = ["".join(chance.choice(SYLLABLES) for _ in range(3)) for _ in range(60)]
    return {
        "rare word": rare,
        "common word": list(COMMON) * 8,
        "two common words": [f"{a} {b}" for a in COMMON for b in COMMON],
        "beginning of one letter": list("abcdefghijklmnopqrstuvwxyz") * 2,
        "part of a name": [name[1:] for name in rare],
        "typing error": [f"{name[:2]}x{name[2:]}" for name in rare],
        "no match": [f"zz{name}zz" for name in rare],
        "filter and word": [f"base:{digest('base', n % BASES)} {COMMON[n % 8]}" for n in range(60)],
        "filters": [f"license:MIT capability:{name}" for name in COMMON] * 8,
        "newest": [""] * 60,
    }


def processor(backend: Backend) -> Callable[[], float]:
    """A clock of the processor time of this process, and of PostgreSQL's."""
    with backend.database.reading() as connection:
        if not backend.database.is_postgres:
            return time.process_time
        number = connection.scalar(text("SELECT pg_backend_pid()"))
    file = Path(f"/proc/{number}/schedstat")
    return lambda: time.process_time() + int(file.read_text().split()[0]) / 1e9


def measure(backend: Backend, name: str, table: Table) -> float:
    """Add a row for each kind of search. Returns the 99th percentile of all, in ms."""
    clock, every = processor(backend), list[float]()
    for kind, texts in queries().items():
        times = []
        for wanted in texts:
            begun = clock()
            backend.search.find(wanted, ANONYMOUS)
            times.append(1000 * (clock() - begun))
        every += times
        table.row(name, kind, f"{percentile(times, 50):.1f}", f"{percentile(times, 99):.1f}")
    return percentile(every, 99)


def percentile(values: list[float], part: int) -> float:
    """A percentile, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * part // 100)]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skills", type=int, default=100_000)
    add_postgres(parser)
    add_output(parser)
    arguments = parser.parse_args()
    table = Table(f"Search among {arguments.skills:,} skills", HEADINGS)
    with tempfile.TemporaryDirectory() as folder, database_url(arguments.postgres) as url:
        places = {"SQLite": BackendPlaces.in_folder(Path(folder) / "registry")}
        if url:
            places["PostgreSQL"] = BackendPlaces(url, folder, f"{folder}/public")
        worst = {}
        for name, place in places.items():
            backend = open_backend(place, create=True)
            fill(backend, arguments.skills)
            worst[name] = measure(backend, name, table)
            backend.close()
    publish(table, arguments.append)
    assert all(value <= LIMIT_MS for value in worst.values()), worst


if __name__ == "__main__":
    main()
