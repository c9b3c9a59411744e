"""Issue 5, figure 3: the router at 2, 5, 10, 25 and 50 skills, on the real encoder.

`python -m benchmarks.routing [--seen] [--project] [--plot FILE.png]`. Skills are subjects: the
docstrings of parts of libraries. 50 of 62 subjects can be skills; the other twelve are foreign.
Each of three seeds draws subjects, with 32 examples and 12 queries each. `general` is prose about
various topics: some of it is the base's background (`--router-background`), the rest must be routed
to the base. The router's settings were not chosen on these subjects and general texts; `--seen`
uses the ones that they were chosen on.

Signatures are written and read as by `pack --router` and `route`. Only a pack's signature matters
here, so no pack is made, except with `--project`: ten packs that share one small delta are packed,
published, installed and routed by the commands. Features are stored in .cache/router.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.routing.plot import draw_router
from benchmarks.routing.project import through_commands
from benchmarks.routing.subjects import EXAMPLES, FRESH, SUBJECTS
from benchmarks.routing.topics import general_texts, texts_of
from benchmarks.tools.table import Table, add_output, publish
from examples.code_search.encoder import packaged_model
from skillpm.routing.features import DEPTHS, features, width_of
from skillpm.routing.router import Router
from skillpm.routing.signature import Signature, parse_signature
from skillpm.running.runner import Runner
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skillpm.routing.signature import Array

CACHE = Path(__file__).parents[1] / ".cache" / "router"
SIZES = (2, 5, 10, 25, 50)
SEEDS = (0, 1, 2)
QUERIES = 12
MOST_SKILLS = 50
BASE = Digest.of(b"all-MiniLM-L6-v2")
KEYS = ("right", "other skill", "to the base", "general kept", "foreign kept")


@dataclass(frozen=True)
class Sides:
    """Bounds of the general texts' sides, in the order of their SHA-256."""

    background: slice
    general: slice


FRESH_SIDES = Sides(slice(0, 256), slice(256, 480))
SEEN_SIDES = Sides(slice(0, 80), slice(80, 160))


@dataclass(frozen=True)
class Texts:
    """Texts of each subject, and general texts for background and queries; or features."""

    subjects: dict[str, Any]
    background: Any
    general: Any


@dataclass(frozen=True)
class Draw:
    """One seed's subjects: skills in installation order, and foreign subjects."""

    skills: list[str]
    foreign: list[str]
    order: dict[str, npt.NDArray[np.int64]]


def read(subjects: Iterable[str], sides: Sides) -> Texts:
    """Read all texts. Takes a minute."""
    general = general_texts()
    found = {name: texts_of(name)[: EXAMPLES + QUERIES] for name in sorted(subjects)}
    return Texts(found, general[sides.background], general[sides.general])


def look(runner: Runner, texts: Texts) -> Texts:
    """The features of all texts, stored by the digest of the texts."""
    subjects = {name: _seen(runner, found) for name, found in texts.subjects.items()}
    return Texts(subjects, _seen(runner, texts.background), _seen(runner, texts.general))


def _seen(runner: Runner, texts: list[str]) -> Array:
    arguments = json.dumps(["unit", DEPTHS, width_of(runner), texts])
    path = CACHE / f"{hashlib.sha256(arguments.encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        np.save(path, features(runner, texts))
        print(f"{len(texts)} texts", file=sys.stderr, flush=True)
    found: Array = np.load(path)
    return found


def draw(subjects: Iterable[str], seed: int) -> Draw:
    chance = np.random.default_rng(seed)
    names = [str(name) for name in chance.permutation(sorted(subjects))]
    order = {name: chance.permutation(EXAMPLES + QUERIES) for name in sorted(subjects)}
    return Draw(names[:MOST_SKILLS], names[MOST_SKILLS:], order)


def signatures(
    seen: Texts, drawn: Draw, size: int, *, background: bool
) -> dict[SkillName, Signature]:
    """The signatures of the first skills, as read from their packs."""
    general = seen.background[: None if background else 0]
    found = {}
    for name in drawn.skills[:size]:
        examples = seen.subjects[name][drawn.order[name][:EXAMPLES]]
        data = Signature(BASE, examples, general, "file").dumps()
        found[SkillName.parse(f"bench/{name}")] = parse_signature(data, BASE, name)
    return found


def measure(seen: Texts, drawn: Draw, size: int, *, background: bool) -> dict[str, float]:
    """Shares of queries, of foreign and of general texts; seconds and milliseconds."""
    known = signatures(seen, drawn, size, background=background)
    started = time.perf_counter()
    router = Router.of(known, seen.background.shape[1])
    built = time.perf_counter() - started
    own: list[tuple[str, SkillName | None]] = []
    started, count = time.perf_counter(), 0
    for name in drawn.skills[:size]:
        queries = seen.subjects[name][drawn.order[name][EXAMPLES:]]
        own += [(name, one.skill) for one in router.decide(queries)]
        count += len(queries)
    spent = time.perf_counter() - started
    foreign = np.concatenate(
        [seen.subjects[name][drawn.order[name][EXAMPLES:]] for name in drawn.foreign]
    )
    return {
        "right": _share(skill is not None and skill.name == name for name, skill in own),
        "other skill": _share(skill is not None and skill.name != name for name, skill in own),
        "to the base": _share(skill is None for _, skill in own),
        "general kept": _share(one.skill is None for one in router.decide(seen.general)),
        "foreign kept": _share(one.skill is None for one in router.decide(foreign)),
        "build s": built,
        "decide ms": 1000 * spent / count,
    }


def _share(found: Iterable[bool]) -> float:
    return float(np.mean(list(found)))


def sweep(seen: Texts, *, background: bool) -> dict[int, list[dict[str, float]]]:
    """Measure all sizes and seeds."""
    draws = [draw(seen.subjects, seed) for seed in SEEDS]
    return {
        size: [measure(seen, one, size, background=background) for one in draws] for size in SIZES
    }


def tabled(title: str, found: dict[int, list[dict[str, float]]]) -> Table:
    table = Table(title, ("skills", *KEYS, "build, s", "decide, ms"))
    for size, rows in found.items():
        shares = [_with_spread([row[key] for row in rows]) for key in KEYS]
        built, spent = (
            statistics.mean(row[key] for row in rows) for key in ("build s", "decide ms")
        )
        table.row(size, *shares, f"{built:.2f}", f"{spent:.2f}")
    return table


def _with_spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1%} ± {statistics.stdev(values):.1%}"


def query_ms(runner: Runner, texts: list[str]) -> float:
    """The median time of one text's features."""
    spent = []
    for text in texts:
        started = time.perf_counter()
        features(runner, [text])
        spent.append(1000 * (time.perf_counter() - started))
    return statistics.median(spent)


def features_of(*, seen: bool) -> Texts:
    """Stored features of the texts that settings were chosen on, or of the held-out texts."""
    torch.set_num_threads(1)
    subjects, sides = (SUBJECTS, SEEN_SIDES) if seen else (FRESH, FRESH_SIDES)
    return look(Runner.load(packaged_model(), "cpu"), read(subjects, sides))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seen", action="store_true", help="use the texts that settings were chosen on"
    )
    parser.add_argument("--project", action="store_true", help="also run the commands")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the figure")
    add_output(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runner = Runner.load(packaged_model(), "cpu")
    subjects, sides = (SUBJECTS, SEEN_SIDES) if arguments.seen else (FRESH, FRESH_SIDES)
    texts = read(subjects, sides)
    seen = look(runner, texts)
    known, blind = (sweep(seen, background=one) for one in (True, False))
    publish(tabled("The router with a background of general text", known), arguments.append)
    publish(tabled("The router without a background", blind), arguments.append)
    timed = [one[0] for one in texts.subjects.values()][:20]
    print(f"one query's features: {query_ms(runner, timed):.1f} ms, one thread\n")
    if arguments.plot:
        draw_router(known, blind, arguments.plot)
    if arguments.project:
        with tempfile.TemporaryDirectory() as folder:
            table = through_commands(texts, draw(texts.subjects, 0), Path(folder))
        publish(table, arguments.append)


if __name__ == "__main__":
    main()
