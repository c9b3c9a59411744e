"""Figure 5: 200 random kill points over install, uninstall, rollback, publish and graft.

`python benchmarks/kills.py [--points N] [--seed N]`

Half of the kills come at a random system call of the command, half when a random timer runs out:
SIGKILL, each time in a fresh copy of the folders. After each kill the reading commands must show a
complete generation and write nothing; then the command is repeated, and everything must be as if
it had never been killed. The exit code is 0 where no state was broken.
"""

import argparse
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "crash")]

from crash_case import Judge, Killer  # noqa: E402 - the tests own the judge
from crash_scenes import make_scenes  # noqa: E402

COMMANDS = ("install", "uninstall", "rollback", "publish", "graft", "regraft")


@dataclass
class Row:
    """What happened to one command."""

    kills: int = 0
    late: int = 0
    broken: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    killer = Killer()
    with tempfile.TemporaryDirectory() as folder:
        scenes = make_scenes(killer, Path(folder), make_models(Path(folder)))
        rows: dict[str, Row] = {}
        for turn, name in enumerate(COMMANDS):
            judge = Judge.of(killer, scenes[name], Path(folder) / f"case-{name}")
            share = asked.points // len(COMMANDS) + (turn < asked.points % len(COMMANDS))
            rows[name] = attack(judge, share, random.Random(f"{asked.seed} {name}"))
    killer.close()
    return show(rows)


def make_models(folder: Path) -> dict[str, Path]:
    """A tiny base and two fine-tunes of it."""
    from tiny_models import llama, nudge, save

    return {
        "base": save(llama(), folder / "models" / "base"),
        "math": save(nudge(llama(), only="mlp"), folder / "models" / "math"),
        "sql": save(nudge(llama(), only="attn", seed=2), folder / "models" / "sql"),
    }


def attack(judge: Judge, kills: int, chance: random.Random) -> Row:
    """Kill a command so many times; a kill that came too late does not count."""
    row, count = Row(), judge.points()
    started = time.monotonic()
    judge.killed_at()
    seconds = time.monotonic() - started
    while row.kills < kills:
        by_timer = row.kills % 2 == 1
        try:
            was_killed = (
                judge.killed_at(after=chance.uniform(0, seconds))
                if by_timer
                else judge.killed_at(chance.randint(1, count))
            )
        except AssertionError as problem:
            row.broken += 1
            print(f"{judge.scene.name}: {problem}", file=sys.stderr)
            was_killed = True
        row.kills += was_killed
        row.late += not was_killed
    return row


def show(rows: dict[str, Row]) -> int:
    print(f"{'command':<10}  {'kills':>5}  {'broken states':>13}")
    for name, row in rows.items():
        print(f"{name:<10}  {row.kills:>5}  {row.broken:>13}")
    kills, broken = (sum(getattr(row, key) for row in rows.values()) for key in ("kills", "broken"))
    print(f"{'all':<10}  {kills:>5}  {broken:>13}")
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())
