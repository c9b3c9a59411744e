"""Issue 16, figure 5: ten skills and one hostile pack, on the real encoder.

`python -m benchmarks.routing.attacks [--seen] [--seeds N] [--only TEXT] [--skills N]`. The texts
are those of `benchmarks.routing.main`. Each attack of `benchmarks.routing.hostile` makes the
signature of an additional pack, whose name sorts first; it is written and read like any pack's. The
figure is the share of the ten skills' queries that are routed correctly, with and without the
hostile pack. Precedence is recorded as by `install`: earlier skills first.

Settings were chosen with `--seen`. Features are stored in .cache/router, and each result in
.cache/router_attacks, under the digest of the router's source, so an interrupted run continues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import skillpm.routing
from benchmarks.routing.hostile import ATTACKS, Scene, unit
from benchmarks.routing.main import BASE, Draw, Texts, draw, signatures
from benchmarks.routing.subjects import EXAMPLES
from benchmarks.tools.table import Table, add_output, publish
from skillpm.errors import IntegrityError
from skillpm.routing.router import Router
from skillpm.routing.signature import Signature, parse_signature
from skillpm.spec.names import SkillName

if TYPE_CHECKING:
    from skillpm.routing.signature import Array

CACHE = Path(__file__).parents[1] / ".cache" / "router_attacks"
HOSTILE = SkillName.parse("aaa/hostile")
SCALED = 1.9
KEYS = ("right", "taken", "general")


def scene_of(seen: Texts, drawn: Draw, size: int) -> Scene:
    """The attacker's view of a set; the attacker's own subject is the next one drawn."""
    subjects = [*drawn.skills, *drawn.foreign]
    parts = [seen.subjects[name][drawn.order[name][:EXAMPLES]] for name in subjects[: size + 1]]
    return Scene(parts[:-1], seen.background, parts[-1], np.random.default_rng(size))


def ask(seen: Texts, drawn: Draw, router: Router, size: int) -> dict[str, float]:
    """Shares of the skills' queries routed right or to the hostile pack; of general text kept."""
    right, taken = [], []
    for name in drawn.skills[:size]:
        queries = seen.subjects[name][drawn.order[name][EXAMPLES:]]
        found = [one.skill for one in router.decide(queries)]
        right += [skill is not None and skill.name == name for skill in found]
        taken += [skill == HOSTILE for skill in found]
    general = [one.skill is None for one in router.decide(seen.general)]
    return dict(zip(KEYS, map(float, map(np.mean, (right, taken, general))), strict=True))


def attacked(seen: Texts, drawn: Draw, size: int, attack: str | None) -> dict[str, float]:
    """One set with or without an attacking pack; `near` counts its near-equal skills."""
    known = signatures(seen, drawn, size, background=True)
    first = tuple(known)
    if attack is not None:
        made, background = ATTACKS[attack](scene_of(seen, drawn, size))
        known[HOSTILE] = _read(made, background)
    started = time.perf_counter()
    router = Router.of(known, seen.background.shape[1], first)
    built = time.perf_counter() - started
    near = sum(HOSTILE in pair.skills for pair in router.near)
    return {**ask(seen, drawn, router, size), "near": near, "build s": built}


def _read(examples: Array, background: Array) -> Signature:
    data = Signature(BASE, examples, background, "file").dumps()
    return parse_signature(data, BASE, str(HOSTILE))


def kept(seen: Texts, drawn: Draw, size: int, attack: str | None) -> dict[str, float]:
    """As `attacked`, but reuses the stored result of the same router."""
    subject = seen.subjects[drawn.skills[0]].tobytes()
    arguments = json.dumps([_source(), drawn.skills, drawn.foreign, size, attack]).encode()
    path = CACHE / f"{hashlib.sha256(arguments + subject).hexdigest()[:16]}.json"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        found = attacked(seen, drawn, size, attack)
        path.write_text(json.dumps(found))
        print(attack, found, file=sys.stderr, flush=True)
    read: dict[str, float] = json.loads(path.read_text())
    return read


@cache
def _source() -> str:
    """The digest of the router's and the attacks' source files."""
    files = sorted(Path(skillpm.routing.__path__[0]).glob("*.py"))
    files.append(Path(__file__).with_name("hostile.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def refused(seen: Texts, drawn: Draw, size: int) -> dict[str, str]:
    """Error messages of the reader for signatures that no honest pack has."""
    scene = scene_of(seen, drawn, size)
    ones = np.ones_like(scene.general)
    forged = {
        f"everybody's examples times {SCALED} as background": (
            scene.own, SCALED * unit(scene.all_examples)
        ),
        "examples times 1.1": (1.1 * unit(scene.own), scene.general),
        "examples of length 0": (0 * scene.own, scene.general),
        "denormal examples": (1e-7 * scene.own, scene.general),
        "NaN in the background": (scene.own, np.nan * ones),
        "infinity in the background": (scene.own, np.inf * ones),
        "another width": (scene.own[:, :-1], scene.general),
    }  # fmt: skip
    return {name: _refusal(*parts) for name, parts in forged.items()}


def _refusal(examples: Array, background: Array) -> str:
    try:
        _read(examples, background)
    except IntegrityError as problem:
        return problem.message
    return "read"


def table_of(seen: Texts, seeds: int, size: int, only: str) -> Table:
    """All attacks; figures are percentage points relative to the set without the hostile pack."""
    draws = [draw(seen.subjects, seed) for seed in range(seeds)]
    before = [kept(seen, one, size, None) for one in draws]
    rows = ("attack", "right", "worst draw", "taken", "general kept", "near-equal")
    table = Table(f"A hostile pack beside {size} skills, {seeds} draws", rows)
    whole = [statistics.mean(100 * one[key] for one in before) for key in ("right", "general")]
    table.row("no such pack", f"{whole[0]:.1f}%", "", "", f"{whole[1]:.1f}%", "")
    for attack in (name for name in ATTACKS if only in name):
        after = [kept(seen, one, size, attack) for one in draws]
        lost, general = (
            [100 * (b[key] - a[key]) for a, b in zip(before, after, strict=True)]
            for key in ("right", "general")
        )
        table.row(
            attack, f"{statistics.mean(lost):+.1f}", f"{min(lost):+.1f}",
            f"{100 * statistics.mean(one['taken'] for one in after):.1f}%",
            f"{statistics.mean(general):+.1f}",
            f"{statistics.mean(one['near'] for one in after):.1f}",
        )  # fmt: skip
    return table


def main() -> None:
    from benchmarks.routing.main import features_of

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seen", action="store_true", help="use the texts that settings were chosen on"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="number of draws (default 3)"
    )
    parser.add_argument(
        "--skills", type=int, default=10, metavar="N", help="number of honest skills (default 10)"
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only attacks whose name contains TEXT"
    )
    add_output(parser)
    arguments = parser.parse_args()
    seen = features_of(seen=arguments.seen)
    table = table_of(seen, arguments.seeds, arguments.skills, arguments.only)
    publish(table, arguments.append)
    for name, said in refused(seen, draw(seen.subjects, 0), arguments.skills).items():
        print(f"{name}: {said}")


if __name__ == "__main__":
    main()
